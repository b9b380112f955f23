# Makes fig1b.png and fig1b.svg from the CSV files of this folder: gnuplot fig1b.gp
if (!exists("suffix")) suffix = ""
set datafile separator ","
set encoding utf8
set title "(1b) Change of parameters, without weight decay" noenhanced
set xlabel "‖Δθ‖ after retraining without the row"
set ylabel "‖Δθ‖ by the influence function"
set border 3 linewidth 1.2
set tics nomirror out scale 0.7
set grid linewidth 0.6 linetype 1 linecolor "#e4e4e4"
set key tmargin center vertical maxrows 3 reverse Left samplen 2.5 spacing 1.15 noautotitle opaque
set logscale x
set format x "10^{%T}"
set logscale y
set format y "10^{%T}"
if (strstrt(GPVAL_TERMINALS, "pngcairo")) {
  set terminal pngcairo size 1280,960 font "DejaVu Sans,27" linewidth 2 pointscale 2
} else {
  set terminal png size 1280,960 font "DejaVu Sans,27" linewidth 2
}
set output "fig1b.png".suffix
plot \
  x with lines linewidth 1.2 dashtype (4,4) linecolor "#808080" title "equal", \
  "rows.csv" using (strcol(1) eq "no-decay" ? $7 + 0 : NaN):6 with points linewidth 2 pointtype 8 pointsize 0.9 linecolor "#D55E00" title "as retrained: Spearman 0.50 ± 0.76 (paper 0.51)", \
  "fig1b.csv" using ($4 + 0):3 with points linewidth 2 pointtype 7 pointsize 0.9 linecolor "#0072B2" title "drift subtracted: Spearman 0.92 ± 0.13"
set terminal svg size 640,480 dynamic font "DejaVu Sans,14" linewidth 1.1
set output "fig1b.svg".suffix
replot
set output
