//! A line chart, as data.

/// A line chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// Under which conditions.
    pub subtitle: String,
    /// Name and unit of the horizontal axis.
    pub x_name: String,
    /// Name and unit of the vertical axis.
    pub y_name: String,
    /// The horizontal axis.
    pub x_scale: Scale,
    /// The vertical axis.
    pub y_scale: Scale,
    /// The lines.
    pub series: Vec<Series>,
    /// Horizontal lines that mean something.
    pub marks: Vec<Mark>,
}

/// How values become places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Equal steps for equal differences.
    Linear,
    /// Equal steps for equal factors; what is not above 0 is not drawn.
    Log,
}

/// A line with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Which of the chart's colours (they repeat).
    pub color: usize,
    /// Its pattern.
    pub line: Curve,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// A line's pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// Unbroken.
    Solid,
    /// Broken.
    Dashed,
}

/// A horizontal line that means something.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Where.
    pub y: f64,
    /// What it means.
    pub name: String,
}
