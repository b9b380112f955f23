# Makes fig3b.png and fig3b.svg from the CSV files of this folder: gnuplot fig3b.gp
if (!exists("suffix")) suffix = ""
set datafile separator ","
set encoding utf8
set title "(3b) 100 rows around the 30th percentile" noenhanced
set xlabel "change of the test loss after retraining"
set ylabel "change by the influence function"
set border 3 linewidth 1.2
set tics nomirror out scale 0.7
set grid linewidth 0.6 linetype 1 linecolor "#e4e4e4"
set key tmargin center vertical maxrows 4 reverse Left samplen 2.5 spacing 1.15 noautotitle opaque
set xtics 0.0005
if (strstrt(GPVAL_TERMINALS, "pngcairo")) {
  set terminal pngcairo size 1280,960 font "DejaVu Sans,27" linewidth 2 pointscale 2
} else {
  set terminal png size 1280,960 font "DejaVu Sans,27" linewidth 2
}
set output "fig3b.png".suffix
plot \
  x with lines linewidth 1.2 dashtype (4,4) linecolor "#808080" title "equal", \
  "points.csv" using (strcol(1) eq "fig3b 0.001" ? $2 + 0 : NaN):3 with points linewidth 2 pointtype 7 pointsize 0.9 linecolor "#0072B2" title "decay 0.001, 100 rows: Pearson 0.36", \
  "points.csv" using (strcol(1) eq "fig3b 0" ? $2 + 0 : NaN):3 with points linewidth 2 pointtype 9 pointsize 0.9 linecolor "#D55E00" title "decay 0, 100 rows: Pearson 0.05"
set terminal svg size 640,480 dynamic font "DejaVu Sans,14" linewidth 1.1
set output "fig3b.svg".suffix
replot
set output
