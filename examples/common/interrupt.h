/* Stopping politely: the first SIGINT or SIGTERM is noted, a second one ends the program at once. */
#ifndef EXAMPLES_INTERRUPT_H
#define EXAMPLES_INTERRUPT_H

void interrupt_install(void);

/* The number of the signal that asked to stop; 0: none has. */
int interrupt_requested(void);

#endif
