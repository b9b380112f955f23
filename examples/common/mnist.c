#include "mnist.h"

#include <stdio.h>
#include <stdlib.h>

#include "output.h"

infl_status mnist_read(infl_dataset **out, const char *folder, const char *part, const infl_image_options *options) {
    char name[64];
    snprintf(name, sizeof name, "mnist/%s-images-idx3-ubyte.gz", part);
    char *images = output_path(folder, name);
    snprintf(name, sizeof name, "mnist/%s-labels-idx1-ubyte.gz", part);
    char *labels = output_path(folder, name);
    infl_status status = INFL_E_MEMORY;
    if (images != NULL && labels != NULL)
        status = infl_dataset_from_idx(out, images, labels, options);
    free(images);
    free(labels);
    return status;
}
