# Draws examples/chart.png: gnuplot examples/make_chart.gp (gnuplot 5.4, cairo terminal; run from the repository root).
set terminal pngcairo size 448,320 font "Sans,9"
set output "examples/chart.png"
set title "Umsatz 2024"
set ylabel "Tsd. Euro"
set yrange [0:100]
set style fill solid
set boxwidth 0.6
set key off
$data << EOD
Q1 30
Q2 45
Q3 60
Q4 85
EOD
plot $data using 0:2:xtic(1) with boxes
