// Charts by ECharts and Chart.js, drawn on Skia's canvas: `node charts.mjs FOLDER`.
import { createCanvas } from "@napi-rs/canvas";
import { Chart, registerables } from "chart.js";
import * as echarts from "echarts";
import { writeFileSync } from "node:fs";

const folder = process.argv[2];
Chart.register(...registerables);
Chart.defaults.animation = false;
Chart.defaults.devicePixelRatio = 1;

const white = {
  id: "white",
  beforeDraw: ({ ctx, width, height }) => {
    ctx.fillStyle = "white";
    ctx.fillRect(0, 0, width, height);
  },
};

function save(name, canvas) {
  writeFileSync(`${folder}/${name}.png`, canvas.toBuffer("image/png"));
}

function chartjs(name, title, type, data, options = {}, width = 520, height = 340) {
  const canvas = createCanvas(width, height);
  const plugins = { title: { display: true, text: title, font: { size: 18 } }, legend: { display: type === "pie" || type === "doughnut" } };
  new Chart(canvas, { type, data, plugins: [white], options: { responsive: false, layout: { padding: 12 }, plugins, ...options } });
  save(name, canvas);
}

function chart(name, option, width = 520, height = 340, theme = undefined) {
  const canvas = createCanvas(width, height);
  const drawing = echarts.init(canvas, theme, { devicePixelRatio: 1, width, height });
  drawing.setOption({ animation: false, backgroundColor: theme ? undefined : "#fff", ...option });
  save(name, canvas);
}

const one = (labels, data, color) => ({ labels, datasets: [{ data, backgroundColor: color, borderColor: color }] });

chartjs("chartjs_bar", "Eisverkauf im Freibad", "bar", one(["Erdbeere", "Vanille", "Zitrone", "Nuss"], [64, 82, 37, 51], "#3e95cd"));
chartjs("chartjs_line", "Night trains booked", "line", one(["2018", "2019", "2020", "2021", "2022", "2023"], [22, 27, 33, 45, 58, 71], "#c45850"));
chartjs("chartjs_doughnut", "Instruments in the band", "doughnut", one(["Guitar", "Drums", "Flute"], [50, 30, 20], ["#8e5ea2", "#3cba9f", "#e8c3b9"]), {}, 420, 360);
chartjs("chartjs_scatter", "Reisezeit und Entfernung", "scatter",
  { datasets: [{ data: Array.from({ length: 26 }, (_, n) => ({ x: 3 + 2 * n, y: 8 + 1.5 * n + 7 * ((n * 5) % 9) / 9 })), backgroundColor: "#2b6f4a" }] });
chartjs("chartjs_barh", "Hours of sunshine in March", "bar", one(["Lisbon", "Oslo", "Rome", "Dublin"], [210, 145, 175, 120], "#d9822b"),
  { indexAxis: "y" });

chart("echarts_bar", {
  title: { text: "Ernte im Garten", left: "center" },
  xAxis: { type: "category", data: ["Möhren", "Bohnen", "Kürbis", "Salat", "Lauch"] },
  yAxis: { type: "value", name: "kg" },
  series: [{ type: "bar", data: [18, 12, 35, 9, 23], label: { show: true, position: "top" } }],
});
chart("echarts_line", {
  title: { text: "Fish counted in the river", left: "center" },
  xAxis: { type: "category", data: ["May", "Jun", "Jul", "Aug", "Sep", "Oct"] },
  yAxis: { type: "value" },
  series: [{ type: "line", smooth: true, data: [310, 270, 225, 190, 150, 95] }],
});
chart("echarts_pie", {
  title: { text: "Strom nach Quelle", left: "center" },
  series: [{ type: "pie", radius: "58%", center: ["50%", "55%"], label: { fontSize: 14, formatter: "{b}: {c} %" },
    data: [{ name: "Wind", value: 48 }, { name: "Sonne", value: 27 }, { name: "Wasser", value: 15 }, { name: "Gas", value: 10 }] }],
});
chart("echarts_dark", {
  title: { text: "Downloads per day", left: "center" },
  xAxis: { type: "category", data: ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"] },
  yAxis: { type: "value" },
  series: [{ type: "bar", data: [120, 200, 150, 80, 70, 110, 130] }],
}, 520, 340, "dark");
chart("echarts_scatter", {
  title: { text: "Alter der Bäume", left: "center" },
  xAxis: { type: "value", name: "Jahre" },
  yAxis: { type: "value", name: "Höhe" },
  series: [{ type: "scatter", symbolSize: 9, data: Array.from({ length: 30 }, (_, n) => [2 * n, 0.4 * n + 3 * ((n * 7) % 10) / 10 + 1]) }],
});
process.exit(0);
