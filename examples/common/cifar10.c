#include "cifar10.h"

#include <stdio.h>
#include <stdlib.h>

#include "output.h"

infl_status cifar10_read(infl_dataset **out, const char *folder, int training, const infl_image_options *options) {
    enum { BATCHES = 5 };
    char *paths[BATCHES], name[64];
    size_t n = training ? BATCHES : 1;
    infl_status status = INFL_OK;
    for (size_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "cifar10/test_batch.bin");
        if (training)
            snprintf(name, sizeof name, "cifar10/data_batch_%zu.bin", i + 1);
        paths[i] = output_path(folder, name);
        if (paths[i] == NULL)
            status = INFL_E_MEMORY;
    }
    if (status == INFL_OK)
        status = infl_dataset_from_cifar10(out, (const char *const *)paths, n, options);
    for (size_t i = 0; i < n; i++) {
        free(paths[i]);
    }
    return status;
}
