/* MNIST's files, as they are published, in a folder. */
#ifndef EXAMPLES_MNIST_H
#define EXAMPLES_MNIST_H

#include <influence.h>

/* part: "train" or "t10k", of FOLDER/mnist/train-images-idx3-ubyte.gz and so on. */
infl_status mnist_read(infl_dataset **out, const char *folder, const char *part, const infl_image_options *options);

#endif
