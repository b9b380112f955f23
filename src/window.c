/* A window that slides over an image. */
#include "network.h"

int infl_shape_fits(infl_shape shape) {
    size_t limit = SIZE_MAX >> 16;
    return shape.height <= limit / shape.channels && shape.width <= limit / shape.channels / shape.height;
}

infl_status infl_window_shape(const infl_window *window, infl_shape in, infl_shape *out) {
    const size_t image[2] = {in.height, in.width};
    size_t sizes[2], padded[2];
    for (int axis = 0; axis < 2; axis++) {
        size_t kernel = window->kernel[axis], stride = window->stride[axis], padding = window->padding[axis];
        if (kernel == 0 || stride == 0)
            return infl_fail(INFL_E_ARGUMENT, "kernel %zu and stride %zu; expected at least 1", kernel, stride);
        if (stride > SIZE_MAX / 4 || padding > SIZE_MAX / 4)
            return infl_fail(INFL_E_ARGUMENT, "stride %zu and padding %zu are more than memory can hold", stride,
                             padding);
        if (image[axis] + 2 * padding < kernel)
            return infl_fail(INFL_E_ARGUMENT, "a kernel of %zu does not fit %zu pixels with padding %zu", kernel,
                             image[axis], padding);
        sizes[axis] = (image[axis] + 2 * padding - kernel) / stride + 1;
        padded[axis] = image[axis] + 2 * padding;
    }
    if (!infl_shape_fits((infl_shape){in.channels, padded[0], padded[1]}))
        return infl_fail(INFL_E_ARGUMENT, "padding %zu and %zu; the padded image is more than memory can hold",
                         window->padding[0], window->padding[1]);
    out->height = sizes[0];
    out->width = sizes[1];
    return INFL_OK;
}

void infl_window_range(const infl_window *window, int axis, size_t tap, size_t in, size_t out, size_t *from,
                       size_t *to) {
    /* position i of the output looks at pixel i·stride + tap − padding */
    size_t stride = window->stride[axis], padding = window->padding[axis];
    *from = padding > tap ? (padding - tap + stride - 1) / stride : 0;
    *to = in + padding > tap ? (in + padding - tap - 1) / stride + 1 : 0;
    *to = *to < out ? *to : out;
}
