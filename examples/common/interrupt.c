#include "interrupt.h"

#include <signal.h>
#include <string.h>

static volatile sig_atomic_t requested; /* signal handlers can reach nothing else */

static void note_signal(int number) { requested = number; }

void interrupt_install(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = note_signal;
    action.sa_flags = (int)SA_RESETHAND;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int interrupt_requested(void) { return requested; }
