#include "mnist_results.h"

#include <influence.h>

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "plot.h"
#include "statistics.h"

#define MEASURE_NAME(name) #name,
static const char *const measure_names[N_MEASURES] = {MEASURES(MEASURE_NAME)};
static const char *const method_names[N_METHODS] = {"cg", "lissa", "undamped"};
static const char *const panels[] = {"fig3a", "fig3b", "fig3c"};
static const char rest_key[] = "rest3a"; /* of points.csv */
static const char *const tables[] = {"fig3a.csv",    "fig3b.csv",   "fig3c.csv", "eigenvalues.csv",
                                     "inverses.csv", "summary.csv", "points.csv"};

/* Places the parts in the array of numbers; with numbers NULL only counts them. */
static void network_lay_out(network *w, const settings *s) {
    double *next = w->numbers;
    size_t n = 0;
#define PLACE(pointer, count) (void)((pointer) = next == NULL ? NULL : next + n, n += (count))
    PLACE(w->measures, N_MEASURES);
    for (size_t i = 0; i < s->test_points; i++) {
        point *at = &w->points[i];
        PLACE(at->about, N_POINT);
        at->groups[GROUP_TOP].n = w->detailed && i == 0 ? s->top : s->sweep_top;
        at->groups[GROUP_BAND].n = w->detailed && i < s->band_points ? s->band : 0;
        for (size_t j = 0; j < N_GROUPS; j++) {
            for (size_t k = 0; k < N_COLUMNS; k++) {
                PLACE(at->groups[j].column[k], at->groups[j].n);
            }
        }
        for (size_t j = 0; w->detailed && s->inverses && j < N_METHODS; j++) {
            PLACE(at->inverses[j], N_INVERSE);
        }
    }
#undef PLACE
    w->n_numbers = n;
}

int network_create(network *w, const settings *s, unsigned long long fingerprint, double decay, size_t seed) {
    memset(w, 0, sizeof *w);
    w->decay = decay;
    w->seed = seed;
    w->detailed = arguments_contain(&s->decays, decay);
    w->polished = decay >= s->polish_from;
    network_lay_out(w, s);
    w->numbers = malloc(w->n_numbers * sizeof *w->numbers);
    if (w->numbers == NULL)
        return -1;
    for (size_t i = 0; i < w->n_numbers; i++) {
        w->numbers[i] = NAN;
    }
    network_lay_out(w, s);
    int length = snprintf(w->folder, sizeof w->folder, "%s/networks/%016llx/decay-%.15g-seed-%zu", s->out, fingerprint,
                          decay, seed);
    return length < (int)sizeof w->folder ? 0 : -1;
}

double *network_truth(const point *at, const group *rows) {
    double *values = malloc((rows->n + 1) * sizeof *values);
    for (size_t i = 0; values != NULL && i < rows->n; i++) {
        values[i] = rows->column[COLUMN_RETRAINED][i] - at->about[POINT_CONTROL];
    }
    return values;
}

/* ---- correlations ----------------------------------------------------------------------------------------------- */

/*
 * Adam's less the control, or as it is; Adam's over the rows that came to rest; these at rest, all with the damped
 * predictions. And at rest with the undamped ones.
 */
enum { TRUTH_ADAM, TRUTH_RAW, TRUTH_PAIRED, TRUTH_RESTED, TRUTH_REST, N_TRUTHS };

/* Of predictions with a ground truth over the first rows of a group; NaN where there is none. */
typedef struct agreement {
    size_t n; /* rows that have a truth */
    double pearson, spearman, low, high;
    double slope;    /* Σ predicted·truth / Σ predicted²: 1 where the sizes are right as well */
    double *samples; /* of the bootstrap of Pearson's; NULL: none */
} agreement;

/* Two truths of the same rows are resampled alike, so that their difference is a paired one. */
static agreement agreement_of(const settings *s, const network *w, size_t i, size_t which, int truth, size_t n) {
    agreement found = {0, NAN, NAN, NAN, NAN, NAN, NULL};
    const point *at = &w->points[i];
    const group *rows = &at->groups[which];
    double products = 0.0, squares = 0.0;
    size_t most = n < rows->n ? n : rows->n;
    double *values = network_truth(at, rows), *predicted = malloc((most + 1) * sizeof *predicted);
    double *samples = malloc(2 * s->resamples * sizeof *samples);
    n = 0;
    for (size_t j = 0; values != NULL && predicted != NULL && j < most; j++) {
        double rest = rows->column[COLUMN_REST][j];
        if (truth >= TRUTH_PAIRED && isnan(rest))
            continue;
        values[n] = truth == TRUTH_RAW ? rows->column[COLUMN_RETRAINED][j] : truth >= TRUTH_RESTED ? rest : values[j];
        predicted[n++] = rows->column[truth == TRUTH_REST ? COLUMN_UNDAMPED : COLUMN_PREDICTED][j];
    }
    found.n = n;
    uint64_t seed = (uint64_t)w->seed << 32 | (uint64_t)i << 8 | which;
    if (n < 3 || samples == NULL ||
        bootstrap_pearson(predicted, values, n, s->resamples, seed, &found.pearson, samples) != 0) {
        free(values);
        free(predicted);
        free(samples);
        return found;
    }
    memcpy(samples + s->resamples, samples, s->resamples * sizeof *samples);
    interval middle = interval_of(samples + s->resamples, s->resamples);
    infl_spearman(predicted, values, n, &found.spearman);
    for (size_t j = 0; j < n; j++) {
        products += predicted[j] * values[j];
        squares += predicted[j] * predicted[j];
    }
    found.low = middle.low;
    found.high = middle.high;
    found.slope = products / squares;
    found.samples = samples;
    free(values);
    free(predicted);
    return found;
}

/* The 95 % interval of a − b, sample by sample; takes both. */
static interval difference_of(const settings *s, agreement *a, agreement *b) {
    interval middle = {NAN, NAN};
    if (a->samples != NULL && b->samples != NULL) {
        for (size_t i = 0; i < s->resamples; i++) {
            a->samples[i] -= b->samples[i];
        }
        middle = interval_of(a->samples, s->resamples);
    }
    free(a->samples);
    free(b->samples);
    a->samples = b->samples = NULL;
    return middle;
}

/* ---- tables ----------------------------------------------------------------------------------------------------- */

static void put(FILE *file, double value) {
    fputc(',', file);
    output_number(file, value);
}

/* fig3a.csv, fig3b.csv: the removed rows. */
static int write_rows(const settings *s, const network *all, size_t n, size_t which) {
    output out;
    if (output_open(&out, s->out, which == GROUP_TOP ? "fig3a.csv" : "fig3b.csv") != 0)
        return -1;
    fprintf(out.file, "decay,test_row,train_row,predicted,retrained,control,undamped,at_rest,seed\n");
    for (size_t k = 0; k < n; k++) {
        const network *w = &all[k];
        for (size_t i = 0; w->finished && w->detailed && i < s->test_points; i++) {
            const point *at = &w->points[i];
            const group *rows = &at->groups[which];
            for (size_t j = 0; j < rows->n; j++) {
                fprintf(out.file, "%.10g,%.0f,%.0f", w->decay, at->about[POINT_ROW], rows->column[COLUMN_ROW][j]);
                put(out.file, rows->column[COLUMN_PREDICTED][j]);
                put(out.file, rows->column[COLUMN_RETRAINED][j]);
                put(out.file, at->about[POINT_CONTROL]);
                put(out.file, rows->column[COLUMN_UNDAMPED][j]);
                put(out.file, rows->column[COLUMN_REST][j]);
                fprintf(out.file, ",%zu\n", w->seed);
            }
        }
    }
    return output_close(&out);
}

static int write_correlations(const settings *s, const network *all, size_t n) {
    output out;
    if (output_open(&out, s->out, "fig3c.csv") != 0)
        return -1;
    fprintf(
        out.file,
        "decay,test_row,pearson,spearman,pearson_low,pearson_high,slope,pearson_raw,slope_raw,"
        "rest_pearson,rest_spearman,rest_low,rest_high,rest_slope,rest_damped,rows,rest_rows,test_loss,control,seed\n");
    for (size_t k = 0; k < n; k++) {
        const network *w = &all[k];
        for (size_t i = 0; w->finished && i < s->test_points; i++) {
            const point *at = &w->points[i];
            agreement of[N_TRUTHS];
            for (int truth = 0; truth < N_TRUTHS; truth++) {
                of[truth] = agreement_of(s, w, i, GROUP_TOP, truth, s->sweep_top);
                free(of[truth].samples);
            }
            fprintf(out.file, "%.10g,%.0f", w->decay, at->about[POINT_ROW]);
            put(out.file, of[TRUTH_ADAM].pearson);
            put(out.file, of[TRUTH_ADAM].spearman);
            put(out.file, of[TRUTH_ADAM].low);
            put(out.file, of[TRUTH_ADAM].high);
            put(out.file, of[TRUTH_ADAM].slope);
            put(out.file, of[TRUTH_RAW].pearson);
            put(out.file, of[TRUTH_RAW].slope);
            put(out.file, of[TRUTH_REST].pearson);
            put(out.file, of[TRUTH_REST].spearman);
            put(out.file, of[TRUTH_REST].low);
            put(out.file, of[TRUTH_REST].high);
            put(out.file, of[TRUTH_REST].slope);
            put(out.file, of[TRUTH_RESTED].pearson);
            fprintf(out.file, ",%zu,%zu", of[TRUTH_ADAM].n, of[TRUTH_REST].n);
            put(out.file, at->about[POINT_LOSS]);
            put(out.file, at->about[POINT_CONTROL]);
            fprintf(out.file, ",%zu\n", w->seed);
        }
    }
    return output_close(&out);
}

static int write_eigenvalues(const settings *s, const network *all, size_t n) {
    output out;
    if (output_open(&out, s->out, "eigenvalues.csv") != 0)
        return -1;
    fprintf(out.file, "decay");
    for (size_t i = 0; i < N_MEASURES; i++) {
        fprintf(out.file, ",%s", measure_names[i]);
    }
    fprintf(out.file, ",seed\n");
    for (size_t k = 0; k < n; k++) {
        if (!all[k].finished)
            continue;
        fprintf(out.file, "%.10g", all[k].decay);
        for (size_t i = 0; i < N_MEASURES; i++) {
            put(out.file, all[k].measures[i]);
        }
        fprintf(out.file, ",%zu\n", all[k].seed);
    }
    return output_close(&out);
}

static int write_inverses(const settings *s, const network *all, size_t n) {
    output out;
    if (output_open(&out, s->out, "inverses.csv") != 0)
        return -1;
    fprintf(out.file, "decay,test_row,method,residual,pearson_exact,pearson_truth,pearson_rest,products,damping,status,"
                      "seed\n");
    for (size_t k = 0; k < n; k++) {
        for (size_t i = 0; all[k].finished && i < s->test_points; i++) {
            const point *at = &all[k].points[i];
            for (size_t j = 0; j < N_METHODS && at->inverses[j] != NULL; j++) {
                const double *inverse = at->inverses[j];
                fprintf(out.file, "%.10g,%.0f,%s", all[k].decay, at->about[POINT_ROW], method_names[j]);
                put(out.file, inverse[INVERSE_RESIDUAL]);
                put(out.file, inverse[INVERSE_EXACT]);
                put(out.file, inverse[INVERSE_TRUTH]);
                put(out.file, inverse[INVERSE_REST]);
                put(out.file, inverse[INVERSE_PRODUCTS]);
                put(out.file, inverse[INVERSE_DAMPING]);
                fprintf(out.file, ",%s,%zu\n", infl_status_name((infl_status)inverse[INVERSE_STATUS]), all[k].seed);
            }
        }
    }
    return output_close(&out);
}

/* Into the table, and to stdout. */
static void tell(FILE *file, const char *quantity, const network *w, size_t i, size_t rows, double paper, double ours,
                 interval middle) {
    fprintf(file, "%s,%.10g,%.0f", quantity, w->decay, w->points[i].about[POINT_ROW]);
    put(file, paper);
    put(file, ours);
    put(file, middle.low);
    put(file, middle.high);
    fprintf(file, ",%zu,%zu\n", rows, w->seed);
    char known[16] = "";
    if (!isnan(paper))
        snprintf(known, sizeof known, "%.4f", paper);
    printf("%-40s %8g %9.0f %5zu %8s %8.3f", quantity, w->decay, w->points[i].about[POINT_ROW], rows, known, ours);
    if (!isnan(middle.low))
        printf("  [%6.3f, %6.3f]", middle.low, middle.high);
    printf("\n");
}

/* The Pearson correlation of [KL17] for the 100 most influential rows, with decay. */
static const double published = 0.8754;

static void tell_network(FILE *file, const settings *s, const network *w) {
    static const struct {
        const char *name;
        size_t group;
        int truth;
    } all[] = {{"top", GROUP_TOP, TRUTH_ADAM},
               {"undamped top at rest", GROUP_TOP, TRUTH_REST},
               {"top at rest", GROUP_TOP, TRUTH_RESTED},
               {"percentile", GROUP_BAND, TRUTH_ADAM}};
    char name[64];
    for (size_t i = 0; i < s->test_points; i++) {
        for (size_t j = 0; j < sizeof all / sizeof all[0]; j++) {
            agreement of = agreement_of(s, w, i, all[j].group, all[j].truth, SIZE_MAX);
            if (of.samples == NULL)
                continue;
            interval middle = {of.low, of.high};
            snprintf(name, sizeof name, "Pearson; %s", all[j].name);
            tell(file, name, w, i, of.n, i == 0 && j == 0 && w->decay > 0.0 ? published : NAN, of.pearson, middle);
            free(of.samples);
            if (all[j].truth == TRUTH_ADAM) {
                interval none = {NAN, NAN};
                snprintf(name, sizeof name, "Spearman; %s", all[j].name);
                tell(file, name, w, i, of.n, NAN, of.spearman, none);
            }
        }
        agreement top = agreement_of(s, w, i, GROUP_TOP, TRUTH_ADAM, SIZE_MAX);
        agreement band = agreement_of(s, w, i, GROUP_BAND, TRUTH_ADAM, SIZE_MAX);
        double difference = top.pearson - band.pearson;
        interval middle = difference_of(s, &top, &band);
        if (!isnan(difference))
            tell(file, "Pearson; top - percentile", w, i, top.n, NAN, difference, middle);
        agreement rest = agreement_of(s, w, i, GROUP_TOP, TRUTH_REST, SIZE_MAX);
        top = agreement_of(s, w, i, GROUP_TOP, TRUTH_PAIRED, SIZE_MAX);
        difference = rest.pearson - top.pearson;
        middle = difference_of(s, &rest, &top);
        if (!isnan(difference))
            tell(file, "Pearson; top: undamped at rest - by Adam", w, i, rest.n, NAN, difference, middle);
    }
}

/* Of the first decay against the others of 3a: different networks, and so different rows. */
static void tell_contrasts(FILE *file, const settings *s, const network *first, const network *other) {
    for (size_t i = 0; i < s->test_points; i++) {
        for (size_t which = 0; which < N_GROUPS; which++) {
            agreement a = agreement_of(s, first, i, which, TRUTH_ADAM, SIZE_MAX);
            agreement b = agreement_of(s, other, i, which, TRUTH_ADAM, SIZE_MAX);
            double difference = a.pearson - b.pearson;
            interval middle = difference_of(s, &a, &b);
            char name[64];
            snprintf(name, sizeof name, "Pearson; %s: this - decay %g", which == GROUP_TOP ? "top" : "percentile",
                     other->decay);
            if (!isnan(difference))
                tell(file, name, first, i, a.n, NAN, difference, middle);
        }
    }
}

static int write_summary(const settings *s, const network *all, size_t n) {
    output out;
    if (output_open(&out, s->out, "summary.csv") != 0)
        return -1;
    fprintf(out.file, "quantity,decay,test_row,paper,ours,low,high,rows,seed\n");
    printf("%-40s %8s %9s %5s %8s %8s  %s\n", "", "decay", "test row", "rows", "paper", "ours",
           "95 % by bootstrap over rows");
    const network *first = NULL;
    for (size_t k = 0; k < n; k++) {
        const network *w = &all[k];
        if (!w->finished || !w->detailed)
            continue;
        tell_network(out.file, s, w);
        if (first == NULL || first->seed != w->seed) {
            first = w;
        } else {
            tell_contrasts(out.file, s, first, w);
        }
    }
    return output_close(&out);
}

/* ---- pictures --------------------------------------------------------------------------------------------------- */

/* Where decay 0 stands on the logarithmic axis: a decade left of the least other one. */
static double place_of_zero(const network *all, size_t n) {
    double least = INFINITY;
    for (size_t k = 0; k < n; k++) {
        if (all[k].decay > 0.0)
            least = fmin(least, all[k].decay);
    }
    return least < INFINITY ? pow(10.0, floor(log10(least)) - 1.0) : 1e-6;
}

static int by_decay(const void *a, const void *b) {
    const network *x = *(const network *const *)a, *y = *(const network *const *)b;
    if (x->decay != y->decay)
        return x->decay < y->decay ? -1 : 1;
    return x < y ? -1 : x > y;
}

static void put_point(FILE *file, const char *panel, double key, double x, double y, double low, double high) {
    fprintf(file, "%s %g", panel, key);
    put(file, x);
    put(file, y);
    put(file, low);
    put(file, high);
    fputc('\n', file);
}

/* points.csv: all points of the pictures, those of 3c from left to right. */
static int write_points(const settings *s, const network *all, size_t n) {
    output out;
    const network **sorted = malloc((n + 1) * sizeof *sorted);
    if (sorted == NULL || output_open(&out, s->out, "points.csv") != 0) {
        free(sorted);
        return -1;
    }
    fprintf(out.file, "series,x,y,low,high\n");
    for (size_t k = 0; k < n; k++) {
        const point *at = &all[k].points[0]; /* of highest loss */
        sorted[k] = &all[k];
        for (size_t which = 0; all[k].finished && all[k].detailed && which < N_GROUPS; which++) {
            const group *rows = &at->groups[which];
            for (size_t j = 0; j < rows->n; j++) {
                put_point(out.file, panels[which], all[k].decay,
                          rows->column[COLUMN_RETRAINED][j] - at->about[POINT_CONTROL],
                          rows->column[COLUMN_PREDICTED][j], NAN, NAN);
                if (!isnan(rows->column[COLUMN_REST][j]))
                    put_point(out.file, rest_key, all[k].decay, rows->column[COLUMN_REST][j],
                              rows->column[COLUMN_UNDAMPED][j], NAN, NAN);
            }
        }
    }
    qsort(sorted, n, sizeof *sorted, by_decay);
    static const char *const series[] = {[TRUTH_ADAM] = "adam", [TRUTH_REST] = "rest"};
    for (int truth = TRUTH_ADAM; truth <= TRUTH_REST; truth += TRUTH_REST - TRUTH_ADAM) {
        for (size_t i = 0; i < s->test_points; i++) { /* a series in one piece, so that a line can join it */
            for (size_t k = 0; k < n; k++) {
                if (!sorted[k]->finished)
                    continue;
                agreement of = agreement_of(s, sorted[k], i, GROUP_TOP, truth, s->sweep_top);
                if (of.samples != NULL)
                    put_point(out.file, series[truth], (double)i,
                              sorted[k]->decay > 0.0 ? sorted[k]->decay : place_of_zero(all, n), of.pearson, of.low,
                              of.high);
                free(of.samples);
            }
        }
    }
    free(sorted);
    return output_close(&out);
}

enum { MAX_SERIES = 8, LABEL = 96, KEY = 32 };

/* Pearson's correlation on the test image of highest loss, as a mean over the seeds; NaN: nothing is measured. */
static double mean_pearson(const settings *s, const network *all, size_t n, double decay, size_t which, int truth,
                           size_t *rows) {
    double sum = 0.0;
    size_t found = 0;
    *rows = 0;
    for (size_t k = 0; k < n; k++) {
        if (!all[k].finished || all[k].decay != decay)
            continue;
        agreement of = agreement_of(s, &all[k], 0, which, truth, SIZE_MAX);
        free(of.samples);
        if (isnan(of.pearson))
            continue;
        sum += of.pearson;
        *rows += of.n;
        found++;
    }
    return found > 0 ? sum / (double)found : NAN;
}

/* A step of 1, 2 or 5 times a power of ten that puts some five numbers at the axis of the measured changes. */
static double step_of_truths(const settings *s, const network *all, size_t n, size_t which) {
    double low = INFINITY, high = -INFINITY;
    for (size_t k = 0; k < n; k++) {
        const point *at = &all[k].points[0];
        const group *rows = &at->groups[which];
        for (size_t j = 0; all[k].finished && arguments_contain(&s->decays, all[k].decay) && j < rows->n; j++) {
            double adam = rows->column[COLUMN_RETRAINED][j] - at->about[POINT_CONTROL];
            low = fmin(low, fmin(adam, rows->column[COLUMN_REST][j])); /* fmin and fmax pass over NaN */
            high = fmax(high, fmax(adam, rows->column[COLUMN_REST][j]));
        }
    }
    if (!(high > low))
        return 0.0;
    double step = pow(10.0, floor(log10((high - low) / 4.0)));
    double times = (high - low) / 4.0 / step;
    return step * (times > 5.0 ? 10.0 : times > 2.0 ? 5.0 : times > 1.0 ? 2.0 : 1.0);
}

/* 3a and 3b: predicted against measured, of the test image of highest loss. */
static int write_scatter(const settings *s, const network *all, size_t n, size_t which) {
    plot_series series[MAX_SERIES];
    char labels[MAX_SERIES][LABEL], keys[MAX_SERIES][KEY], title[128];
    int n_series = 0;
    for (int truth = TRUTH_ADAM; truth <= TRUTH_REST; truth += TRUTH_REST - TRUTH_ADAM) {
        for (size_t i = 0; i < s->decays.n && n_series < MAX_SERIES; i++) {
            size_t rows;
            double pearson = mean_pearson(s, all, n, s->decays.values[i], which, truth, &rows);
            if (isnan(pearson))
                continue;
            snprintf(labels[n_series], LABEL, "decay %g%s, %zu rows: Pearson %.2f", s->decays.values[i],
                     truth == TRUTH_REST ? ", undamped, at rest" : "", rows, pearson);
            snprintf(keys[n_series], KEY, "%s %g", truth == TRUTH_REST ? rest_key : panels[which], s->decays.values[i]);
            series[n_series] = (plot_series){
                labels[n_series], "points.csv", keys[n_series], 2, 3, 0, 0, 0.0, n_series, truth == TRUTH_REST, 0};
            n_series++;
        }
    }
    if (which == GROUP_TOP) {
        snprintf(title, sizeof title, "(3a) The %zu most influential rows", s->top);
    } else {
        snprintf(title, sizeof title, "(3b) %zu rows around the %gth percentile", s->band, s->percentile);
    }
    const plot panel = {
        .name = panels[which],
        .title = title,
        .x_label = "change of the test loss after retraining",
        .y_label = "change by the influence function",
        .x_step = step_of_truths(s, all, n, which),
        .key_place = "tmargin center vertical maxrows 4",
        .identity = 1,
        .series = series,
        .n_series = (size_t)n_series,
    };
    return n_series == 0 ? 0 : plot_write(s->out, &panel);
}

/* 3c: correlation against decay, a series a test image. */
static int write_sweep(const settings *s, const network *all, size_t n) {
    plot_series series[MAX_SERIES];
    char labels[MAX_SERIES][LABEL], keys[MAX_SERIES][KEY], tics[512], title[128];
    size_t n_series = 0, length;
    int joined = s->seeds == 1, at_rest = 0;
    double zero = place_of_zero(all, n), highest = zero;
    for (size_t k = 0; k < n; k++) {
        highest = fmax(highest, all[k].decay);
        at_rest = at_rest || (all[k].finished && all[k].measures[MEASURE_rest_rows] > 0.0);
    }
    for (size_t i = 0; i < s->test_points && n_series < MAX_SERIES; i++) {
        snprintf(labels[n_series], LABEL, i == 0 ? "test image of highest loss" : "number %zu by loss", i + 1);
        snprintf(keys[n_series], KEY, "adam %zu", i);
        series[n_series] = (plot_series){labels[n_series], "points.csv", keys[n_series], 2, 3,     i == 0 ? 4 : 0,
                                         i == 0 ? 5 : 0,   0.0,          (int)i,         0, joined};
        n_series++;
    }
    if (at_rest && n_series < MAX_SERIES)
        series[n_series++] =
            (plot_series){"highest loss, undamped, at rest", "points.csv", "rest 0", 2, 3, 4, 5, 0.0, 0, 1, joined};
    length = (size_t)snprintf(tics, sizeof tics, "\"0\" %g", zero);
    for (double decade = 10.0 * zero; decade <= 1.0001 * highest && length < sizeof tics; decade *= 10.0) {
        length += (size_t)snprintf(tics + length, sizeof tics - length, ", \"10^{%.0f}\" %g", log10(decade), decade);
    }
    snprintf(title, sizeof title, "(3c) The %zu most influential rows, against decay", s->sweep_top);
    const plot panel = {
        .name = "fig3c",
        .title = title,
        .x_label = "weight decay",
        .y_label = "Pearson correlation",
        .x_log = 1,
        .x_low = zero / 2.0,
        .x_high = 2.0 * highest,
        .x_tics = tics,
        .y_low = -0.5,
        .y_high = 1.1,
        .key_place = "bottom right",
        .series = series,
        .n_series = n_series,
    };
    return plot_write(s->out, &panel);
}

int results_write(const settings *s, const network *all, size_t n) {
    int failed = 0, finished = 0;
    for (size_t k = 0; k < n; k++) {
        finished |= all[k].finished;
    }
    if (!finished)
        return 0;
    for (size_t which = 0; which < N_GROUPS; which++) {
        failed |= write_rows(s, all, n, which);
        failed |= write_scatter(s, all, n, which);
    }
    failed |= write_correlations(s, all, n);
    failed |= write_eigenvalues(s, all, n);
    failed |= write_inverses(s, all, n);
    failed |= write_summary(s, all, n);
    failed |= write_points(s, all, n);
    failed |= write_sweep(s, all, n);
    return failed;
}

int results_draw(const settings *s) {
    for (size_t i = 0; i < sizeof panels / sizeof panels[0]; i++) {
        char *script;
        char name[32];
        snprintf(name, sizeof name, "%s.gp", panels[i]);
        script = output_path(s->out, name);
        FILE *file = script == NULL ? NULL : fopen(script, "r");
        free(script);
        if (file == NULL)
            continue;
        fclose(file);
        plot_status status = plot_draw(s->out, panels[i]);
        if (status == PLOT_NO_GNUPLOT) {
            fprintf(stderr, "mnist: gnuplot is not installed, so there are no pictures; the CSV files are complete\n");
            return 0;
        }
        if (status == PLOT_FAILED)
            return -1;
    }
    return 0;
}

int results_remove(const settings *s) {
    static const char *const extensions[] = {"gp", "png", "svg"};
    char name[32];
    int failed = 0;
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        failed |= output_remove(s->out, tables[i]);
    }
    for (size_t i = 0; i < sizeof panels / sizeof panels[0]; i++) {
        for (size_t j = 0; j < sizeof extensions / sizeof extensions[0]; j++) {
            snprintf(name, sizeof name, "%s.%s", panels[i], extensions[j]);
            failed |= output_remove(s->out, name);
        }
    }
    return failed;
}
