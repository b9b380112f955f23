#include "cifar_results.h"

#include <influence.h>

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "plot.h"
#include "statistics.h"

#define NAME(name) #name,
static const char *const measure_names[N_MEASURES] = {MEASURES(NAME)};
static const char *const solve_names[SOLVE_STATUS] = {SOLVES(NAME)};
static const char *const tables[] = {"table1.csv", "networks.csv", "table1.md"};
const char *const cifar_data_names[N_DATA] = {"mnist", "cifar10"};
const char *const cifar_curvature_names[N_CURVATURES] = {"hessian", "gauss_newton"};

/* ---- the paper -------------------------------------------------------------------------------------------------- */

typedef struct correlation {
    double pearson, spearman;
} correlation;

static const char point_letters[] = "AB";

/* Table 1: A and B with decay, A without. */
static const correlation published[N_DATA][N_NETWORKS][3] = {
    [DATA_MNIST] = {{{0.95, 0.87}, {0.92, 0.82}, {0.41, 0.35}},
                    {{0.83, 0.51}, {0.28, 0.29}, {0.18, 0.12}},
                    {{0.34, 0.44}, {0.29, 0.18}, {0.38, 0.31}},
                    {{0.32, 0.26}, {0.28, 0.22}, {0.21, 0.11}},
                    {{0.49, 0.26}, {0.39, 0.35}, {0.14, 0.11}},
                    {{0.24, 0.22}, {0.29, 0.19}, {0.08, 0.13}}},
    [DATA_CIFAR10] = {{{NAN, NAN}, {NAN, NAN}, {NAN, NAN}},
                      {{0.81, 0.69}, {0.45, 0.46}, {0.19, 0.09}},
                      {{0.67, 0.63}, {0.66, 0.63}, {0.79, 0.73}},
                      {{0.61, 0.59}, {0.49, 0.41}, {0.75, 0.64}},
                      {{0.64, 0.42}, {0.25, 0.26}, {0.72, 0.69}},
                      {{0.46, 0.36}, {0.24, 0.09}, {0.32, 0.14}}},
};

static correlation paper_of(size_t data, size_t which, double decay, size_t at) {
    const correlation none = {NAN, NAN};
    if (decay == 1e-3)
        return published[data][which][at];
    return decay == 0.0 && at == POINT_A ? published[data][which][2] : none;
}

/* ---- a network's numbers ---------------------------------------------------------------------------------------- */

/* Places the parts in the array of numbers; with numbers NULL only counts them. */
static void lay_out(network *w, const settings *s) {
    double *next = w->numbers;
    size_t n = 0;
#define PLACE(pointer, count) (void)((pointer) = next == NULL ? NULL : next + n, n += (count))
    PLACE(w->measures, N_MEASURES);
    for (size_t i = 0; i < N_CURVATURES; i++) {
        PLACE(w->solves[i], N_SOLVE);
    }
    for (size_t i = 0; i < N_POINTS; i++) {
        PLACE(w->points[i].about, ABOUT_CONTROL + s->retrain_seeds);
        for (size_t j = 0; j < COLUMN_RETRAINED + s->retrain_seeds; j++) {
            PLACE(w->points[i].column[j], s->top);
        }
    }
#undef PLACE
    w->n_numbers = n;
}

int cifar_network_create(network *w, const settings *s, unsigned long long fingerprint, size_t data, size_t which,
                         double decay, size_t seed) {
    memset(w, 0, sizeof *w);
    w->data = data;
    w->network = which;
    w->decay = decay;
    w->seed = seed;
    lay_out(w, s);
    w->numbers = malloc(w->n_numbers * sizeof *w->numbers);
    if (w->numbers == NULL)
        return -1;
    for (size_t i = 0; i < w->n_numbers; i++) {
        w->numbers[i] = NAN;
    }
    lay_out(w, s);
    int length =
        snprintf(w->folder, sizeof w->folder, "%s/networks/%016llx/%s-%s-decay-%.15g-seed-%zu", s->out, fingerprint,
                 cifar_data_names[data], infl_zoo_network_name((infl_zoo_network)which), decay, seed);
    return length < (int)sizeof w->folder ? 0 : -1;
}

static const char *network_name(const network *w) { return infl_zoo_network_name((infl_zoo_network)w->network); }

/* ---- correlations ----------------------------------------------------------------------------------------------- */

/* Of predictions with a ground truth; NaN where there is none. */
typedef struct agreement {
    double pearson, spearman, low, high;
    double slope;  /* Σ predicted·truth / Σ predicted²: 1 where the sizes are right as well */
    double mean;   /* of the truth */
    double signs;  /* of the rows, the share where both have the same */
    double spread; /* the truth's standard deviation over the largest prediction: where it is large, that is noise */
} agreement;

static double mean_of(const double *values, size_t n) { return statistics_of(values, n).mean; }

/* The measured changes of a point: of the first retraining seed or the mean of all, with the control's or less it. */
static void measured(const settings *s, const point *at, int all_seeds, int with_control, double *values) {
    size_t seeds = all_seeds ? s->retrain_seeds : 1;
    for (size_t j = 0; j < s->top; j++) {
        values[j] = 0.0;
        for (size_t r = 0; r < seeds; r++) {
            values[j] += (at->column[COLUMN_RETRAINED + r][j] + (with_control ? at->about[ABOUT_CONTROL + r] : 0.0)) /
                         (double)seeds;
        }
    }
}

static agreement agreement_of(const settings *s, const network *w, size_t i, size_t curvature, int all_seeds,
                              int with_control) {
    agreement found = {NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    const point *at = &w->points[i];
    const double *predicted = at->column[COLUMN_HESSIAN + curvature];
    double *values = malloc((s->top + s->resamples) * sizeof *values);
    double products = 0.0, squares = 0.0, largest = 0.0, same = 0.0;
    if (values == NULL)
        return found;
    double *samples = values + s->top;
    measured(s, at, all_seeds, with_control, values);
    found.mean = mean_of(values, s->top);
    uint64_t seed = (uint64_t)w->seed << 8 | i; /* the same rows are drawn for all that is compared of a point */
    if (bootstrap_pearson(predicted, values, s->top, s->resamples, seed, &found.pearson, samples) == 0) {
        interval middle = interval_of(samples, s->resamples);
        infl_spearman(predicted, values, s->top, &found.spearman);
        for (size_t j = 0; j < s->top; j++) {
            products += predicted[j] * values[j];
            squares += predicted[j] * predicted[j];
            largest = fmax(largest, fabs(predicted[j]));
            same += predicted[j] * values[j] > 0.0;
        }
        found.low = middle.low;
        found.high = middle.high;
        found.slope = products / squares;
        found.signs = same / (double)s->top;
        found.spread = statistics_of(values, s->top).deviation / largest;
    }
    free(values);
    return found;
}

/* ---- tables ----------------------------------------------------------------------------------------------------- */

static void put(FILE *file, double value) {
    fputc(',', file);
    output_number(file, value);
}

/* "ok", or why there are no numbers. */
static const char *status_of(const network *w, size_t curvature, double pearson) {
    infl_status status = (infl_status)w->solves[curvature][SOLVE_STATUS];
    if (status != INFL_OK)
        return infl_status_name(status);
    return isnan(pearson) ? "constant" : "ok";
}

static int write_table(const settings *s, const network *all, size_t n) {
    output out;
    if (output_open(&out, s->out, "table1.csv") != 0)
        return -1;
    fprintf(out.file, "dataset,architecture,decay,point,seed,pearson,spearman,pearson_control,spearman_control,"
                      "paper_pearson,paper_spearman,low,high,pearson_hessian,pearson_gauss_newton,"
                      "spearman_gauss_newton,pearson_seeds,spearman_seeds,low_seeds,high_seeds,slope,slope_control,"
                      "slope_seeds,control,mean_predicted,mean_measured,signs,spread,rows_removed,retrain_seeds,test_"
                      "row,test_loss,status\n");
    for (size_t k = 0; k < n; k++) {
        const network *w = &all[k];
        for (size_t i = 0; w->finished && i < N_POINTS; i++) {
            const point *at = &w->points[i];
            correlation paper = paper_of(w->data, w->network, w->decay, i);
            agreement raw = agreement_of(s, w, i, s->curvature, 0, 1), less = agreement_of(s, w, i, s->curvature, 0, 0);
            agreement mean = agreement_of(s, w, i, s->curvature, 1, 0);
            agreement hessian = agreement_of(s, w, i, INFL_HESSIAN, 0, 0);
            agreement gauss_newton = agreement_of(s, w, i, INFL_GAUSS_NEWTON, 0, 0);
            const double numbers[] = {raw.pearson,
                                      raw.spearman,
                                      less.pearson,
                                      less.spearman,
                                      paper.pearson,
                                      paper.spearman,
                                      less.low,
                                      less.high,
                                      hessian.pearson,
                                      gauss_newton.pearson,
                                      gauss_newton.spearman,
                                      mean.pearson,
                                      mean.spearman,
                                      mean.low,
                                      mean.high,
                                      raw.slope,
                                      less.slope,
                                      mean.slope,
                                      at->about[ABOUT_CONTROL],
                                      mean_of(at->column[COLUMN_HESSIAN + s->curvature], s->top),
                                      less.mean,
                                      less.signs,
                                      less.spread};
            fprintf(out.file, "%s,%s,%.10g,%c,%zu", cifar_data_names[w->data], network_name(w), w->decay,
                    point_letters[i], w->seed);
            for (size_t j = 0; j < sizeof numbers / sizeof numbers[0]; j++) {
                put(out.file, numbers[j]);
            }
            fprintf(out.file, ",%zu,%zu", s->top, s->retrain_seeds);
            put(out.file, at->about[ABOUT_ROW]);
            put(out.file, at->about[ABOUT_LOSS]);
            fprintf(out.file, ",%s\n", status_of(w, s->curvature, less.pearson));
        }
    }
    return output_close(&out);
}

static int write_networks(const settings *s, const network *all, size_t n) {
    output out;
    if (output_open(&out, s->out, "networks.csv") != 0)
        return -1;
    fprintf(out.file, "dataset,architecture,decay,seed");
    for (size_t i = 0; i < N_MEASURES; i++) {
        fprintf(out.file, ",%s", measure_names[i]);
    }
    fprintf(out.file, ",curvature");
    for (size_t i = 0; i < SOLVE_STATUS; i++) {
        fprintf(out.file, ",%s", solve_names[i]);
    }
    fprintf(out.file, ",status,cause\n");
    for (size_t k = 0; k < n; k++) {
        const network *w = &all[k];
        for (size_t c = 0; w->finished && c < N_CURVATURES; c++) {
            if (isnan(w->solves[c][SOLVE_STATUS]))
                continue;
            fprintf(out.file, "%s,%s,%.10g,%zu", cifar_data_names[w->data], network_name(w), w->decay, w->seed);
            for (size_t i = 0; i < N_MEASURES; i++) {
                put(out.file, w->measures[i]);
            }
            fprintf(out.file, ",%s", cifar_curvature_names[c]);
            for (size_t i = 0; i < SOLVE_STATUS; i++) {
                put(out.file, w->solves[c][i]);
            }
            fprintf(out.file, ",%s,\"%s\"\n", infl_status_name((infl_status)w->solves[c][SOLVE_STATUS]), w->cause[c]);
        }
    }
    return output_close(&out);
}

/* Whether there are predictions and measured changes of a point. */
static int has_cell(const network *w, size_t i) {
    return w->finished && !isnan(w->points[i].column[COLUMN_RETRAINED][0]);
}

/* A cell's scatter data. */
static void name_cell(const network *w, size_t i, char *name, size_t size) {
    snprintf(name, size, "%s-%s-decay-%.15g-%c-seed-%zu.csv", cifar_data_names[w->data], network_name(w), w->decay,
             point_letters[i], w->seed);
}

static int write_cells(const settings *s, const network *all, size_t n) {
    char *folder = output_path(s->out, "cells"), name[128];
    double *mean = malloc(s->top * sizeof *mean);
    int failed = folder == NULL || mean == NULL || output_make_folder(folder) != 0;
    for (size_t k = 0; k < n && !failed; k++) {
        for (size_t i = 0; i < N_POINTS && !failed; i++) {
            const point *at = &all[k].points[i];
            output out;
            if (!has_cell(&all[k], i))
                continue;
            name_cell(&all[k], i, name, sizeof name);
            if (output_open(&out, folder, name) != 0) {
                failed = 1;
                break;
            }
            measured(s, at, 1, 0, mean);
            fprintf(out.file, "train_row,predicted,hessian,gauss_newton,measured,measured_seeds,control\n");
            for (size_t j = 0; j < s->top; j++) {
                output_number(out.file, at->column[COLUMN_ROW][j]);
                put(out.file, at->column[COLUMN_HESSIAN + s->curvature][j]);
                put(out.file, at->column[COLUMN_HESSIAN][j]);
                put(out.file, at->column[COLUMN_GAUSS_NEWTON][j]);
                put(out.file, at->column[COLUMN_RETRAINED][j]);
                put(out.file, mean[j]);
                put(out.file, at->about[ABOUT_CONTROL]);
                fputc('\n', out.file);
            }
            failed = output_close(&out) != 0;
        }
    }
    free(mean);
    free(folder);
    return failed ? -1 : 0;
}

/* The mean over the seeds of a cell, and the status of one that has no number. */
static correlation mean_cell(const settings *s, const network *all, size_t n, const network *like, size_t i,
                             size_t *seeds, const char **status) {
    correlation sum = {0.0, 0.0};
    double found = 0.0;
    *status = "";
    for (size_t k = 0; k < n; k++) {
        const network *w = &all[k];
        if (!w->finished || w->data != like->data || w->network != like->network || w->decay != like->decay)
            continue;
        agreement mean = agreement_of(s, w, i, s->curvature, 1, 0);
        if (isnan(mean.pearson)) {
            *status = status_of(w, s->curvature, mean.pearson);
            continue;
        }
        sum.pearson += mean.pearson;
        sum.spearman += mean.spearman;
        found += 1.0;
    }
    const correlation none = {NAN, NAN};
    *seeds = (size_t)found;
    return found > 0.0 ? (correlation){sum.pearson / found, sum.spearman / found} : none;
}

static void put_pair(FILE *file, double ours, double paper, const char *status) {
    if (isnan(ours)) {
        fprintf(file, " %s /", status);
    } else {
        fprintf(file, " %.2f /", ours);
    }
    if (isnan(paper)) {
        fprintf(file, " – |");
    } else {
        fprintf(file, " %.2f |", paper);
    }
}

/* Whether a network of this architecture is finished. */
static int has(const network *all, size_t n, size_t data, size_t which) {
    int found = 0;
    for (size_t k = 0; k < n; k++) {
        found |= all[k].finished && all[k].data == data && all[k].network == which;
    }
    return found;
}

static size_t architectures(const network *all, size_t n, size_t data) {
    size_t count = 0;
    for (size_t which = 0; which < N_NETWORKS; which++) {
        count += (size_t)has(all, n, data, which);
    }
    return count;
}

static const char *const titles[N_DATA] = {[DATA_MNIST] = "MNIST", [DATA_CIFAR10] = "CIFAR-10"};

/* The paper's table, here / there. */
static void write_markdown(FILE *file, const settings *s, const network *all, size_t n) {
    char preset[16];
    size_t columns = s->decays.n * N_POINTS;
    int fewer = 0;
    for (size_t data = 0; data < N_DATA; data++) {
        if (architectures(all, n, data) == 0)
            continue;
        fprintf(file, "%s, here / paper:\n\n| architecture |", titles[data]);
        for (size_t j = 0; j < columns; j++) {
            fprintf(file, " %c, decay %g: P | S |", point_letters[j % N_POINTS], s->decays.values[j / N_POINTS]);
        }
        fprintf(file, "\n| --- |");
        for (size_t j = 0; j < columns; j++) {
            fprintf(file, " --- | --- |");
        }
        for (size_t which = 0; which < N_NETWORKS; which++) {
            if (!has(all, n, data, which))
                continue;
            fprintf(file, "\n| %s |", infl_zoo_network_name((infl_zoo_network)which));
            for (size_t j = 0; j < columns; j++) {
                const network like = {.data = data, .network = which, .decay = s->decays.values[j / N_POINTS]};
                const char *status;
                size_t seeds;
                correlation ours = mean_cell(s, all, n, &like, j % N_POINTS, &seeds, &status);
                fewer |= seeds < s->seeds;
                correlation paper = paper_of(data, which, like.decay, j % N_POINTS);
                put_pair(file, ours.pearson, paper.pearson, status);
                put_pair(file, ours.spearman, paper.spearman, "");
            }
        }
        fprintf(file, "\n\n");
    }
    arguments_choice_name(CIFAR_PRESET_NAMES, s->preset, preset, sizeof preset);
    fprintf(file,
            "A: test image of highest loss; B: of median loss. P: Pearson's, S: Spearman's correlation of\n"
            "predicted with measured changes of the test loss, %zu rows removed one at a time; a mean over the\n"
            "seeds (%zu%s), the measured changes over the seeds of retraining (%zu). Here: --preset %s, %zu training\n"
            "rows (0: all), VGGs and ResNets with %g of their channels.\n",
            s->top, s->seeds, fewer ? "; somewhere fewer, as table1.csv says" : "", s->retrain_seeds, preset, s->rows,
            s->width);
}

/* ---- pictures --------------------------------------------------------------------------------------------------- */

/* The panels of a dataset's picture: a row an architecture, a column a decay and a test image, a series a seed. */
static void write_panels(FILE *file, const settings *s, const network *all, size_t n, size_t data) {
    char name[128];
    for (size_t which = 0; which < N_NETWORKS; which++) {
        for (size_t d = 0; has(all, n, data, which) && d < s->decays.n * N_POINTS; d++) {
            double decay = s->decays.values[d / N_POINTS];
            int begun = 0;
            for (size_t k = 0; k < n; k++) {
                const network *w = &all[k];
                if (!has_cell(w, d % N_POINTS) || w->data != data || w->network != which || w->decay != decay)
                    continue;
                if (!begun) {
                    const char *status;
                    size_t seeds;
                    correlation ours = mean_cell(s, all, n, w, d % N_POINTS, &seeds, &status);
                    fprintf(file,
                            "set title \"%s, decay %g, %c: r = %.2f\" noenhanced\nplot x with lines linewidth 0.7 "
                            "dashtype (4,4) linecolor \"#808080\"",
                            network_name(w), decay, point_letters[d % N_POINTS], ours.pearson);
                }
                begun = 1;
                name_cell(w, d % N_POINTS, name, sizeof name);
                fprintf(file,
                        ", \\\n  \"cells/%s\" using 6:2 with points pointtype 7 pointsize 0.4 linecolor "
                        "\"#0072B2\"",
                        name);
            }
            fprintf(file, "%s", begun ? "\n" : "set multiplot next\n");
        }
    }
}

static int write_picture(const settings *s, const network *all, size_t n, size_t data) {
    static const char *const terminals[] = {"pngcairo", "svg"};
    size_t rows = architectures(all, n, data), columns = s->decays.n * N_POINTS;
    char name[64];
    output out;
    snprintf(name, sizeof name, "table1-%s.gp", cifar_data_names[data]);
    if (rows == 0)
        return 0;
    if (output_open(&out, s->out, name) != 0)
        return -1;
    fprintf(out.file,
            "# Makes table1-%s.png and .svg from cells/: gnuplot %s\n"
            "if (!exists(\"suffix\")) suffix = \"\"\nset datafile separator \",\"\nset encoding utf8\n"
            "unset key\nset tics nomirror out scale 0.5 font \"DejaVu Sans,7\"\n"
            "set xtics autofreq rotate by -40\nset format \"%%g\"\nset rmargin 6\n"
            "set offsets graph 0.04, graph 0.04, graph 0.04, graph 0.04\n"
            "set xlabel \"change of the test loss\"\nset ylabel \"predicted change\"\n",
            cifar_data_names[data], name);
    for (size_t i = 0; i < sizeof terminals / sizeof terminals[0]; i++) {
        fprintf(out.file,
                "set terminal %s size %zu,%zu font \"DejaVu Sans,9\"\nset output \"table1-%s.%.3s\".suffix\n"
                "set multiplot layout %zu,%zu title \"%s, %zu rows removed one at a time (broken line: equal)\"\n",
                terminals[i], 300 * columns, 260 * rows + 30, cifar_data_names[data], terminals[i], rows, columns,
                titles[data], s->top);
        write_panels(out.file, s, all, n, data);
        fprintf(out.file, "unset multiplot\nset output\n");
    }
    return output_close(&out);
}

int cifar_results_remove(const settings *s) {
    static const char *const extensions[] = {"gp", "png", "svg"};
    char name[32];
    int failed = 0;
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        failed |= output_remove(s->out, tables[i]);
    }
    for (size_t i = 0; i < (size_t)N_DATA * 3; i++) {
        snprintf(name, sizeof name, "table1-%s.%s", cifar_data_names[i / 3], extensions[i % 3]);
        failed |= output_remove(s->out, name);
    }
    return failed;
}

int cifar_results_write(const settings *s, const network *all, size_t n) {
    output out;
    int failed = 0, finished = 0;
    for (size_t k = 0; k < n; k++) {
        finished |= all[k].finished;
    }
    if (!finished)
        return 0;
    failed |= cifar_results_remove(s); /* pictures may not be drawn this time */
    failed |= write_table(s, all, n);
    failed |= write_networks(s, all, n);
    failed |= write_cells(s, all, n);
    for (size_t data = 0; data < N_DATA; data++) {
        failed |= write_picture(s, all, n, data);
    }
    write_markdown(stdout, s, all, n);
    if (output_open(&out, s->out, "table1.md") != 0)
        return -1;
    write_markdown(out.file, s, all, n);
    return failed | output_close(&out);
}

int cifar_results_draw(const settings *s, const network *all, size_t n) {
    for (size_t data = 0; data < N_DATA; data++) {
        char name[32];
        snprintf(name, sizeof name, "table1-%s", cifar_data_names[data]);
        if (architectures(all, n, data) == 0)
            continue;
        plot_status status = plot_draw(s->out, name);
        if (status == PLOT_NO_GNUPLOT) {
            fprintf(stderr, "cifar: gnuplot is not installed, so there are no pictures; the CSV files are complete\n");
            return 0;
        }
        if (status == PLOT_FAILED)
            return -1;
    }
    return 0;
}
