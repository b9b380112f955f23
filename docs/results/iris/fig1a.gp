# Makes fig1a.png and fig1a.svg from the CSV files of this folder: gnuplot fig1a.gp
if (!exists("suffix")) suffix = ""
set datafile separator ","
set encoding utf8
set title "(1a) Change of parameters, with weight decay" noenhanced
set xlabel "‖Δθ‖ after retraining without the row"
set ylabel "‖Δθ‖ by the influence function"
set border 3 linewidth 1.2
set tics nomirror out scale 0.7
set grid linewidth 0.6 linetype 1 linecolor "#e4e4e4"
set key top left reverse Left samplen 2.5 spacing 1.15 noautotitle opaque
set logscale x
set format x "10^{%T}"
set logscale y
set format y "10^{%T}"
set label 1 "Spearman 0.98 ± 0.02 (paper 0.97)" at graph 0.97,0.06 right noenhanced
if (strstrt(GPVAL_TERMINALS, "pngcairo")) {
  set terminal pngcairo size 1280,960 font "DejaVu Sans,27" linewidth 2 pointscale 2
} else {
  set terminal png size 1280,960 font "DejaVu Sans,27" linewidth 2
}
set output "fig1a.png".suffix
plot \
  x with lines linewidth 1.2 dashtype (4,4) linecolor "#808080" title "equal", \
  "fig1a.csv" using ($4 + 0):3 with points linewidth 2 pointtype 7 pointsize 0.9 linecolor "#0072B2" title "one removed row"
set terminal svg size 640,480 dynamic font "DejaVu Sans,14" linewidth 1.1
set output "fig1a.svg".suffix
replot
set output
