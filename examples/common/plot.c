#include "plot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "output.h"

/* Okabe & Ito's colours, which remain different to those who do not see all colours. */
static const char *const colours[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7"};
enum { N_COLOURS = sizeof colours / sizeof colours[0] };

static const char *const head = "# Makes %s.png and %s.svg from the CSV files of this folder: gnuplot %s.gp\n"
                                "if (!exists(\"suffix\")) suffix = \"\"\n"
                                "set datafile separator \",\"\n"
                                "set encoding utf8\n"
                                "set title \"%s\" noenhanced\n"
                                "set xlabel \"%s\"\n"
                                "set ylabel \"%s\"\n"
                                "set border 3 linewidth 1.2\n"
                                "set tics nomirror out scale 0.7\n"
                                "set grid linewidth 0.6 linetype 1 linecolor \"#e4e4e4\"\n"
                                "set key %s reverse Left samplen 2.5 spacing 1.15 noautotitle opaque\n";

static void write_series(FILE *file, const plot_series *series) {
    const char *colour = colours[series->colour % N_COLOURS];
    const char *dash = series->published ? " dashtype (8,5)" : "";
    int symbol = series->published ? (series->colour % 2 ? 8 : 6) : (series->colour % 2 ? 9 : 7);
    char x[96];
    if (series->key != NULL) {
        snprintf(x, sizeof x, "(strcol(1) eq \"%s\" ? $%d + %g : NaN)", series->key, series->x, series->shift);
    } else {
        snprintf(x, sizeof x, "($%d + %g)", series->x, series->shift);
    }
    /* Error bars in a pass of their own: an absent deviation must not take its point with it. */
    if (series->deviation > 0) {
        char ends[32] = "";
        if (series->high > 0)
            snprintf(ends, sizeof ends, ":%d", series->high);
        fprintf(file, "  \"%s\" using %s:%d:%d%s with yerrorbars linewidth 1.3 pointtype -1 linecolor \"%s\", \\\n",
                series->file, x, series->y, series->deviation, ends, colour);
    }
    fprintf(file, "  \"%s\" using %s:%d with %s linewidth 2%s pointtype %d pointsize %s linecolor \"%s\" title \"%s\"",
            series->file, x, series->y, series->joined ? "linespoints" : "points", series->joined ? dash : "", symbol,
            series->joined ? "1.3" : "0.9", colour, series->label);
}

static void write_script(FILE *file, const plot *panel) {
    fprintf(file, head, panel->name, panel->name, panel->name, panel->title, panel->x_label, panel->y_label,
            panel->key_place);
    if (panel->x_log)
        fprintf(file, "set logscale x\nset format x \"10^{%%T}\"\n");
    if (panel->y_log)
        fprintf(file, "set logscale y\nset format y \"10^{%%T}\"\n");
    if (panel->x_low < panel->x_high)
        fprintf(file, "set xrange [%g:%g]\n", panel->x_low, panel->x_high);
    if (panel->x_step > 0.0)
        fprintf(file, "set xtics %g\n", panel->x_step);
    if (panel->x_tics != NULL)
        fprintf(file, "set xtics (%s)\n", panel->x_tics);
    if (panel->y_low < panel->y_high)
        fprintf(file, "set yrange [%g:%g]\n", panel->y_low, panel->y_high);
    if (panel->note != NULL)
        fprintf(file, "set label 1 \"%s\" at graph 0.97,0.06 right noenhanced\n", panel->note);
    fprintf(file,
            "if (strstrt(GPVAL_TERMINALS, \"pngcairo\")) {\n"
            "  set terminal pngcairo size 1280,960 font \"DejaVu Sans,27\" linewidth 2 pointscale 2\n"
            "} else {\n"
            "  set terminal png size 1280,960 font \"DejaVu Sans,27\" linewidth 2\n"
            "}\n"
            "set output \"%s.png\".suffix\n"
            "plot \\\n",
            panel->name);
    if (panel->identity)
        fprintf(file, "  x with lines linewidth 1.2 dashtype (4,4) linecolor \"#808080\" title \"equal\", \\\n");
    for (size_t i = 0; i < panel->n_series; i++) {
        write_series(file, &panel->series[i]);
        fprintf(file, "%s\n", i + 1 < panel->n_series ? ", \\" : "");
    }
    fprintf(file,
            "set terminal svg size 640,480 dynamic font \"DejaVu Sans,14\" linewidth 1.1\n"
            "set output \"%s.svg\".suffix\n"
            "replot\n"
            "set output\n",
            panel->name);
}

int plot_write(const char *folder, const plot *panel) {
    char name[64];
    output script;
    snprintf(name, sizeof name, "%s.gp", panel->name);
    if (output_open(&script, folder, name) != 0)
        return -1;
    write_script(script.file, panel);
    return output_close(&script);
}

/* Gives folder/name.extension.part its name. */
static int rename_picture(const char *folder, const char *name, const char *extension) {
    char file[80];
    int failed = -1;
    snprintf(file, sizeof file, "%s.%s", name, extension);
    char *path = output_path(folder, file);
    snprintf(file, sizeof file, "%s.%s.part", name, extension);
    char *part = output_path(folder, file);
    if (path != NULL && part != NULL)
        failed = rename(part, path);
    free(path);
    free(part);
    return failed;
}

plot_status plot_draw(const char *folder, const char *name) {
    enum { NOT_FOUND = 127, NO_FOLDER = 126 };
    char script[64];
    int status;
    snprintf(script, sizeof script, "%s.gp", name);
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) {
        fprintf(stderr, "cannot start gnuplot: %s\n", strerror(errno));
        return PLOT_FAILED;
    }
    if (child == 0) {
        if (chdir(folder) != 0)
            _exit(NO_FOLDER);
        execlp("gnuplot", "gnuplot", "-e", "suffix='.part'", script, (char *)NULL);
        _exit(errno == ENOENT ? NOT_FOUND : NO_FOLDER);
    }
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR)
            return PLOT_FAILED;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_FOUND)
        return PLOT_NO_GNUPLOT;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || rename_picture(folder, name, "png") != 0 ||
        rename_picture(folder, name, "svg") != 0) {
        fprintf(stderr, "gnuplot could not draw %s/%s\n", folder, script);
        return PLOT_FAILED;
    }
    return PLOT_DRAWN;
}
