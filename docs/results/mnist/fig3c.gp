# Makes fig3c.png and fig3c.svg from the CSV files of this folder: gnuplot fig3c.gp
if (!exists("suffix")) suffix = ""
set datafile separator ","
set encoding utf8
set title "(3c) The 40 most influential rows, against decay" noenhanced
set xlabel "weight decay"
set ylabel "Pearson correlation"
set border 3 linewidth 1.2
set tics nomirror out scale 0.7
set grid linewidth 0.6 linetype 1 linecolor "#e4e4e4"
set key bottom right reverse Left samplen 2.5 spacing 1.15 noautotitle opaque
set logscale x
set format x "10^{%T}"
set xrange [5e-07:0.006]
set xtics ("0" 1e-06, "10^{-5}" 1e-05, "10^{-4}" 0.0001, "10^{-3}" 0.001)
set yrange [-0.5:1.1]
if (strstrt(GPVAL_TERMINALS, "pngcairo")) {
  set terminal pngcairo size 1280,960 font "DejaVu Sans,27" linewidth 2 pointscale 2
} else {
  set terminal png size 1280,960 font "DejaVu Sans,27" linewidth 2
}
set output "fig3c.png".suffix
plot \
  "points.csv" using (strcol(1) eq "adam 0" ? $2 + 0 : NaN):3:4:5 with yerrorbars linewidth 1.3 pointtype -1 linecolor "#0072B2", \
  "points.csv" using (strcol(1) eq "adam 0" ? $2 + 0 : NaN):3 with linespoints linewidth 2 pointtype 7 pointsize 1.3 linecolor "#0072B2" title "test image of highest loss", \
  "points.csv" using (strcol(1) eq "adam 1" ? $2 + 0 : NaN):3 with linespoints linewidth 2 pointtype 9 pointsize 1.3 linecolor "#D55E00" title "number 2 by loss", \
  "points.csv" using (strcol(1) eq "adam 2" ? $2 + 0 : NaN):3 with linespoints linewidth 2 pointtype 7 pointsize 1.3 linecolor "#009E73" title "number 3 by loss", \
  "points.csv" using (strcol(1) eq "rest 0" ? $2 + 0 : NaN):3:4:5 with yerrorbars linewidth 1.3 pointtype -1 linecolor "#0072B2", \
  "points.csv" using (strcol(1) eq "rest 0" ? $2 + 0 : NaN):3 with linespoints linewidth 2 dashtype (8,5) pointtype 6 pointsize 1.3 linecolor "#0072B2" title "highest loss, undamped, at rest"
set terminal svg size 640,480 dynamic font "DejaVu Sans,14" linewidth 1.1
set output "fig3c.svg".suffix
replot
set output
