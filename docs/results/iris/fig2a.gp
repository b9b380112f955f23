# Makes fig2a.png and fig2a.svg from the CSV files of this folder: gnuplot fig2a.gp
if (!exists("suffix")) suffix = ""
set datafile separator ","
set encoding utf8
set title "(2a) Exact and stochastic inverse of the Hessian" noenhanced
set xlabel "hidden layers of 5 units"
set ylabel "Spearman correlation"
set border 3 linewidth 1.2
set tics nomirror out scale 0.7
set grid linewidth 0.6 linetype 1 linecolor "#e4e4e4"
set key bottom left reverse Left samplen 2.5 spacing 1.15 noautotitle opaque
set xrange [0.5:8.5]
set xtics 1
set yrange [-0.3:1.1]
if (strstrt(GPVAL_TERMINALS, "pngcairo")) {
  set terminal pngcairo size 1280,960 font "DejaVu Sans,27" linewidth 2 pointscale 2
} else {
  set terminal png size 1280,960 font "DejaVu Sans,27" linewidth 2
}
set output "fig2a.png".suffix
plot \
  "paper.csv" using (strcol(1) eq "2a-exact" ? $2 + 0 : NaN):3 with linespoints linewidth 2 dashtype (8,5) pointtype 6 pointsize 1.3 linecolor "#0072B2" title "paper, exact", \
  "paper.csv" using (strcol(1) eq "2a-lissa" ? $2 + 0 : NaN):3 with linespoints linewidth 2 dashtype (8,5) pointtype 8 pointsize 1.3 linecolor "#D55E00" title "paper, stochastic", \
  "summary.csv" using (strcol(1) eq "2a-exact" ? $2 + -0.05 : NaN):4:5 with yerrorbars linewidth 1.3 pointtype -1 linecolor "#0072B2", \
  "summary.csv" using (strcol(1) eq "2a-exact" ? $2 + -0.05 : NaN):4 with linespoints linewidth 2 pointtype 7 pointsize 1.3 linecolor "#0072B2" title "here, exact", \
  "summary.csv" using (strcol(1) eq "2a-lissa" ? $2 + 0.05 : NaN):4:5 with yerrorbars linewidth 1.3 pointtype -1 linecolor "#D55E00", \
  "summary.csv" using (strcol(1) eq "2a-lissa" ? $2 + 0.05 : NaN):4 with linespoints linewidth 2 pointtype 9 pointsize 1.3 linecolor "#D55E00" title "here, stochastic"
set terminal svg size 640,480 dynamic font "DejaVu Sans,14" linewidth 1.1
set output "fig2a.svg".suffix
replot
set output
