//! Charts as plain SVG: no script, no external font, light or dark as the viewer prefers.

use std::fmt::Write as _;

use super::{Chart, Curve, Scale, readable};

const WIDTH: f64 = 920.0;
const HEIGHT: f64 = 540.0;
const LEFT: f64 = 96.0;
const RIGHT: f64 = 660.0;
const TOP: f64 = 78.0;
const BOTTOM: f64 = 478.0;

/// Okabe and Ito's colours, distinguishable with colour-blindness; those for dark backgrounds are lighter.
const STYLE: &str = "\
.throng-chart{font:13px system-ui,sans-serif}\
.throng-chart .paper{fill:#fff}.throng-chart .ink{fill:#1d1d1f}.throng-chart .soft{fill:#5c5c63}\
.throng-chart .grid{stroke:#d8d8de}.throng-chart .fine{stroke:#efeff2}\
.throng-chart .frame{stroke:#8a8a92;fill:none}.throng-chart .mark{stroke:#1d1d1f;stroke-width:1.5}\
.throng-chart .halo{paint-order:stroke;stroke:#fff;stroke-width:4px}\
.throng-chart .line{fill:none;stroke-width:2.4;stroke-linejoin:round}.throng-chart .dashed{stroke-dasharray:8 5}\
.throng-chart .c0{stroke:#0072b2}.throng-chart .c1{stroke:#d55e00}.throng-chart .c2{stroke:#008a63}\
.throng-chart .c3{stroke:#b0478a}\
@media(prefers-color-scheme:dark){\
.throng-chart .paper{fill:#17181c}.throng-chart .ink{fill:#f0f0f2}.throng-chart .soft{fill:#a9a9b2}\
.throng-chart .grid{stroke:#3a3b42}.throng-chart .fine{stroke:#26272c}\
.throng-chart .halo{stroke:#17181c}\
.throng-chart .frame{stroke:#7b7b85}.throng-chart .mark{stroke:#f0f0f2}\
.throng-chart .c0{stroke:#56b4e9}.throng-chart .c1{stroke:#ff9a4d}.throng-chart .c2{stroke:#3ed6a8}\
.throng-chart .c3{stroke:#e29bcb}}";
const COLORS: usize = 4;

impl Chart {
    /// The picture.
    pub fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x = Ruler::new(self.x_scale, points().map(|point| point.0), LEFT, RIGHT, Fit::Tight);
        let heights = points().map(|point| point.1).chain(self.marks.iter().map(|mark| mark.y));
        let y = Ruler::new(self.y_scale, heights, BOTTOM, TOP, Fit::Ticks);
        let mut out = String::new();
        self.open(&mut out);
        grid(&mut out, &x, &y);
        self.draw_lines(&mut out, &x, &y);
        self.draw_marks(&mut out, &y); // last, so that their names stay readable
        self.draw_names(&mut out);
        out + "</svg>\n"
    }

    fn open(&self, out: &mut String) {
        let (title, subtitle) = (escaped(&self.title), escaped(&self.subtitle));
        put(
            out,
            format_args!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"throng-chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\">\n\
             <title>{title}</title>\n<desc>{subtitle}</desc>\n<style>{STYLE}</style>\n\
             <rect class=\"paper\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n\
             <text class=\"ink\" x=\"{LEFT}\" y=\"32\" font-size=\"18\" font-weight=\"600\">{title}</text>\n\
             <text class=\"soft\" x=\"{LEFT}\" y=\"54\">{subtitle}</text>"
            ),
        );
    }

    fn draw_marks(&self, out: &mut String, y: &Ruler) {
        for mark in &self.marks {
            let Some(at) = y.place(mark.y) else { continue };
            put(out, format_args!("<path class=\"mark\" d=\"M{LEFT} {at:.1}H{RIGHT}\"/>"));
            let (x, above) = (LEFT + 8.0, at - 6.0);
            let name = escaped(&mark.name);
            put(out, format_args!("<text class=\"ink halo\" x=\"{x}\" y=\"{above:.1}\">{name}</text>"));
        }
    }

    fn draw_lines(&self, out: &mut String, x: &Ruler, y: &Ruler) {
        for (index, series) in self.series.iter().enumerate() {
            let class = class(series.color, series.line);
            let mut path = String::new();
            for &(px, py) in &series.points {
                let (Some(px), Some(py)) = (x.place(px), y.place(py)) else { continue };
                let command = if path.is_empty() { 'M' } else { 'L' };
                let _ = write!(path, "{command}{px:.1} {py:.1}"); // a String takes everything
            }
            if !path.is_empty() {
                put(out, format_args!("<path class=\"{class}\" d=\"{path}\"/>"));
            }
            let at = TOP + 16.0 + 26.0 * index as f64;
            let (from, to) = (RIGHT + 20.0, RIGHT + 54.0);
            put(out, format_args!("<path class=\"{class}\" d=\"M{from} {at}H{to}\"/>"));
            let (name, text_x, text_y) = (escaped(&series.name), to + 8.0, at + 4.5);
            put(out, format_args!("<text class=\"ink\" x=\"{text_x}\" y=\"{text_y}\">{name}</text>"));
        }
    }

    fn draw_names(&self, out: &mut String) {
        let (x, y) = (f64::midpoint(LEFT, RIGHT), f64::midpoint(TOP, BOTTOM));
        let (x_name, y_name) = (escaped(&self.x_name), escaped(&self.y_name));
        let below = BOTTOM + 46.0;
        put(
            out,
            format_args!(
                "<text class=\"ink\" x=\"{x}\" y=\"{below}\" text-anchor=\"middle\">{x_name}</text>"
            ),
        );
        put(
            out,
            format_args!(
                "<text class=\"ink\" transform=\"translate(22 {y}) rotate(-90)\" text-anchor=\"middle\">{y_name}</text>"
            ),
        );
    }
}

fn class(color: usize, line: Curve) -> String {
    let dashed = if line == Curve::Dashed { " dashed" } else { "" };
    format!("line c{}{dashed}", color % COLORS)
}

fn grid(out: &mut String, x: &Ruler, y: &Ruler) {
    for (class, xs, ys) in [("fine", &x.fine, &y.fine), ("grid", &x.ticks, &y.ticks)] {
        for at in xs.iter().filter_map(|&value| x.place(value)) {
            put(out, format_args!("<path class=\"{class}\" d=\"M{at:.1} {TOP}V{BOTTOM}\"/>"));
        }
        for at in ys.iter().filter_map(|&value| y.place(value)) {
            put(out, format_args!("<path class=\"{class}\" d=\"M{LEFT} {at:.1}H{RIGHT}\"/>"));
        }
    }
    let (width, height) = (RIGHT - LEFT, BOTTOM - TOP);
    put(
        out,
        format_args!(
            "<rect class=\"frame\" x=\"{LEFT}\" y=\"{TOP}\" width=\"{width}\" height=\"{height}\"/>"
        ),
    );
    let below = BOTTOM + 20.0;
    for &value in &x.ticks {
        let (Some(at), label) = (x.place(value), readable(value)) else { continue };
        put(
            out,
            format_args!(
                "<text class=\"soft\" x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{label}</text>"
            ),
        );
    }
    let beside = LEFT - 8.0;
    for &value in &y.ticks {
        let (Some(at), label) = (y.place(value).map(|at| at + 4.5), readable(value)) else { continue };
        put(
            out,
            format_args!(
                "<text class=\"soft\" x=\"{beside}\" y=\"{at:.1}\" text-anchor=\"end\">{label}</text>"
            ),
        );
    }
}

fn put(out: &mut String, line: std::fmt::Arguments<'_>) {
    let _ = writeln!(out, "{line}"); // a String takes everything
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Whether an axis ends where the values do.
#[derive(PartialEq)]
enum Fit {
    /// It does.
    Tight,
    /// It ends at ticks.
    Ticks,
}

/// An axis: values to places.
struct Ruler {
    scale: Scale,
    /// Ends, as the scale sees them.
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    ticks: Vec<f64>,
    fine: Vec<f64>,
}

impl Ruler {
    fn new(scale: Scale, values: impl Iterator<Item = f64>, from: f64, to: f64, fit: Fit) -> Self {
        let seen = values.filter_map(|value| seen(scale, value));
        let (mut low, mut high) = seen
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            (low, high) = (0.0, 1.0); // nothing to draw
        }
        let step = step(scale, high - low);
        if fit == Fit::Ticks || high <= low {
            (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
        }
        if high <= low {
            high = low + step;
        }
        let first = (low / step - 1e-9).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        let steps: Vec<f64> = (first..=last).map(|k| k as f64 * step).collect();
        let (ticks, fine) = match scale {
            Scale::Linear => (steps, Vec::new()),
            Scale::Log => (steps.iter().map(|&power| 10f64.powf(power)).collect(), fine(low, high)),
        };
        Self { scale, low, high, from, to, ticks, fine }
    }

    fn place(&self, value: f64) -> Option<f64> {
        let part = (seen(self.scale, value)? - self.low) / (self.high - self.low);
        (-1e-9..=1.0 + 1e-9).contains(&part).then_some(self.from + part * (self.to - self.from))
    }
}

/// A value as the scale sees it.
fn seen(scale: Scale, value: f64) -> Option<f64> {
    match scale {
        Scale::Linear => value.is_finite().then_some(value),
        Scale::Log => (value.is_finite() && value > 0.0).then(|| value.log10()),
    }
}

/// A round step, for not more than ten.
fn step(scale: Scale, span: f64) -> f64 {
    let rough = span / 10.0;
    if scale == Scale::Log {
        return rough.ceil().max(1.0); // whole decades
    }
    let power = 10f64.powf(rough.max(1e-12).log10().floor());
    let round = [1.0, 2.0, 5.0, 10.0].into_iter().find(|round| round * power >= rough);
    (round.unwrap_or(10.0) * power).max(1e-12)
}

/// 2 to 9 times each power of ten, unless that is a thicket.
fn fine(low: f64, high: f64) -> Vec<f64> {
    if high - low > 6.0 {
        return Vec::new();
    }
    let powers = low.floor() as i32..=high.ceil() as i32;
    let all = powers.flat_map(|power| (2..=9).map(move |digit| f64::from(digit) * 10f64.powi(power)));
    all.filter(|value| (low..=high).contains(&value.log10())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Mark, Series};
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> Chart {
        Chart {
            title: "a < b & \"c\"".to_owned(),
            subtitle: "d > e".to_owned(),
            x_name: "x".to_owned(),
            y_name: "y".to_owned(),
            x_scale: Scale::Log,
            y_scale: Scale::Log,
            series: vec![Series { name: "<s>".to_owned(), color: 7, line: Curve::Dashed, points }],
            marks: vec![Mark { y: 100.0, name: "full & \"more\"".to_owned() }],
        }
    }

    #[test]
    fn it_is_well_formed_whatever_it_draws() {
        let cases = [
            vec![],
            vec![(1.0, 1.0)],
            vec![(0.0, -1.0), (f64::NAN, f64::INFINITY)],
            vec![(1.0, 1e-9), (1e7, 1e9)],
        ];
        for points in cases {
            for scale in [Scale::Linear, Scale::Log] {
                let svg = Chart { x_scale: scale, y_scale: scale, ..chart(points.clone()) }.svg();
                let document = roxmltree::Document::parse(&svg).unwrap();
                assert_eq!(document.root_element().tag_name().name(), "svg");
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            }
        }
    }

    #[test]
    fn a_decade_is_a_decade_wide() {
        let ruler = Ruler::new(Scale::Log, [1.0, 1000.0].into_iter(), 0.0, 300.0, Fit::Tight);
        assert_eq!(ruler.ticks, [1.0, 10.0, 100.0, 1000.0]);
        for (value, at) in [(1.0, 0.0), (10.0, 100.0), (1000.0, 300.0)] {
            assert!((ruler.place(value).unwrap() - at).abs() < 1e-9);
        }
        assert_eq!(ruler.place(0.0), None);
        assert_eq!(ruler.place(1e4), None);
    }

    #[test]
    fn whole_numbers_get_whole_ticks() {
        let ruler = Ruler::new(Scale::Linear, [1.0, 8.0].into_iter(), 0.0, 70.0, Fit::Tight);
        assert_eq!(ruler.ticks, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    }
}
