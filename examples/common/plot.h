/*
 * One panel of a figure as a gnuplot script next to the CSV files that it draws: folder/name.gp, which makes name.png
 * and name.svg, here or by hand (`gnuplot name.gp` in that folder).
 */
#ifndef EXAMPLES_PLOT_H
#define EXAMPLES_PLOT_H

#include <stddef.h>

/* A series: the rows of a CSV file (with a header line) whose first column is the key. */
typedef struct plot_series {
    const char *label;
    const char *file, *key; /* key NULL: all rows                                           */
    int x, y;               /* columns, counted from 1                                      */
    int deviation;          /* column of the error bars' half length; 0: none                */
    int high;               /* where not 0: column of the bars' upper end, `deviation` of the lower */
    double shift;           /* added to x, so that the bars of two series stand side by side */
    int colour;             /* 0, 1, ...: series of a colour belong together                */
    int published;          /* 1: someone else's numbers: open symbols, broken line         */
    int joined;             /* 1: a line through the points                                 */
} plot_series;

typedef struct plot {
    const char *name;
    const char *title, *x_label, *y_label;
    const char *note; /* a line in a corner; NULL: none                               */
    int x_log, y_log;
    double x_low, x_high; /* ends of the axes; both 0: as the data want                   */
    double y_low, y_high;
    double x_step;         /* between the numbers at the axis; 0: as the data want         */
    const char *x_tics;    /* gnuplot's labels of the axis, '"0" 1, "10^{2}" 100'; NULL: none */
    const char *key_place; /* gnuplot's "bottom left"                                      */
    int identity;          /* 1: the line y = x                                            */
    const plot_series *series;
    size_t n_series;
} plot;

/* Writes folder/name.gp. 0, or -1 after a sentence on stderr. */
int plot_write(const char *folder, const plot *panel);

typedef enum plot_status { PLOT_DRAWN, PLOT_NO_GNUPLOT, PLOT_FAILED } plot_status;

/* Runs gnuplot on folder/name.gp; name.png and name.svg appear when they are complete. */
plot_status plot_draw(const char *folder, const char *name);

#endif
