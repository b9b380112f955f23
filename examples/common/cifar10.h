/* CIFAR-10's files, as they are published, in a folder. */
#ifndef EXAMPLES_CIFAR10_H
#define EXAMPLES_CIFAR10_H

#include <influence.h>

/* FOLDER/cifar10/data_batch_1.bin to 5, one after the other, or FOLDER/cifar10/test_batch.bin. */
infl_status cifar10_read(infl_dataset **out, const char *folder, int training, const infl_image_options *options);

#endif
