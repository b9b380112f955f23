# Makes fig1d.png and fig1d.svg from the CSV files of this folder: gnuplot fig1d.gp
if (!exists("suffix")) suffix = ""
set datafile separator ","
set encoding utf8
set title "(1d) Change of test loss, against width" noenhanced
set xlabel "units of the one hidden layer"
set ylabel "Spearman correlation"
set border 3 linewidth 1.2
set tics nomirror out scale 0.7
set grid linewidth 0.6 linetype 1 linecolor "#e4e4e4"
set key bottom left reverse Left samplen 2.5 spacing 1.15 noautotitle opaque
set xrange [5.06:52.94]
set yrange [-0.3:1.1]
if (strstrt(GPVAL_TERMINALS, "pngcairo")) {
  set terminal pngcairo size 1280,960 font "DejaVu Sans,27" linewidth 2 pointscale 2
} else {
  set terminal png size 1280,960 font "DejaVu Sans,27" linewidth 2
}
set output "fig1d.png".suffix
plot \
  "paper.csv" using (strcol(1) eq "1d" ? $2 + 0 : NaN):3 with linespoints linewidth 2 dashtype (8,5) pointtype 8 pointsize 1.3 linecolor "#D55E00" title "paper (its two ends)", \
  "summary.csv" using (strcol(1) eq "1d" ? $2 + 0 : NaN):4:5 with yerrorbars linewidth 1.3 pointtype -1 linecolor "#0072B2", \
  "summary.csv" using (strcol(1) eq "1d" ? $2 + 0 : NaN):4 with linespoints linewidth 2 pointtype 7 pointsize 1.3 linecolor "#0072B2" title "here"
set terminal svg size 640,480 dynamic font "DejaVu Sans,14" linewidth 1.1
set output "fig1d.svg".suffix
replot
set output
