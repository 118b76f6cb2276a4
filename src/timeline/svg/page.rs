//! The page: fonts, sizes, colours, and the shapes that are drawn on it.

use std::fmt::Write;

/// The width of the page, in user units, and its margin.
pub(super) const WIDTH: f64 = 1200.0;
pub(super) const MARGIN: f64 = 20.0;
/// Room behind the axis, for the exit code of a container that ends with the pod.
pub(super) const TAIL: f64 = 110.0;
/// Heights of the parts of a row.
pub(super) const HOOK: f64 = 15.0;
pub(super) const BAR: f64 = 22.0;
pub(super) const BUDGET: f64 = 12.0;
pub(super) const LINE: f64 = 14.0;
/// Lines for labels below a bar.
pub(super) const LINES: usize = 3;
/// Font sizes.
pub(super) const TITLE: f64 = 18.0;
pub(super) const NAME: f64 = 14.0;
pub(super) const SMALL: f64 = 11.0;
/// The list in the picture is no longer than this.
pub(super) const LIST: usize = 60;

pub(super) const DARK: &str = "#1d1d1d";
pub(super) const GREY: &str = "#5a5a5a";
pub(super) const FIRE: &str = "#8c1d18";
/// Lines of waiting, of borders and of back-off.
pub(super) const DOTS: &str =
    "stroke=\"#1d1d1d\" stroke-width=\"2\" stroke-dasharray=\"1 5\" stroke-linecap=\"round\"";
pub(super) const BORDER: &str = "stroke=\"#6a6a6a\" stroke-width=\"1.5\" stroke-dasharray=\"2 4\"";
pub(super) const DASHES: &str = "stroke=\"#1d1d1d\" stroke-width=\"3\" stroke-dasharray=\"9 4\"";

/// How wide a text is at most: the fonts asked for have one width for all characters of ASCII.
pub fn extent(text: &str, size: f64) -> f64 {
    text.chars().map(|c| if c.is_ascii() || c == '\u{a0}' { 0.61 } else { 1.05 } * size).sum()
}

/// What has been drawn.
#[derive(Default)]
pub(super) struct Page {
    drawn: String,
}

impl Page {
    pub(super) fn text(&mut self, x: f64, y: f64, size: f64, anchor: &str, fill: &str, text: &str) {
        // A halo keeps lines that cross a text from making it hard to read.
        let halo = if fill == "#ffffff" { "" } else { " class=\"h\"" };
        writeln!(
            self.drawn,
            "<text x=\"{}\" y=\"{}\" font-size=\"{size}\" text-anchor=\"{anchor}\" fill=\"{fill}\"{halo}>{}</text>",
            number(x),
            number(y),
            escape(text)
        )
        .ok(); // a String takes everything
    }

    /// A shape with words of its own.
    pub(super) fn shape(&mut self, shape: &str, title: &str) {
        if title.is_empty() {
            writeln!(self.drawn, "<{shape}/>").ok();
        } else {
            let name = shape.split(' ').next().unwrap_or_default();
            writeln!(self.drawn, "<{shape}><title>{}</title></{name}>", escape(title)).ok();
        }
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), style: &str) {
        let (x1, y1, x2, y2) = (number(from.0), number(from.1), number(to.0), number(to.1));
        self.shape(&format!("line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" {style}"), "");
    }

    pub(super) fn rect(&mut self, left: f64, top: f64, width: f64, height: f64, style: &str, title: &str) {
        let (x, y, w, h) = (number(left), number(top), number(width), number(height));
        self.shape(&format!("rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" {style}"), title);
    }

    pub(super) fn finish(self, title: &str, height: f64) -> String {
        let (title, height) = (escape(title), number(height.ceil()));
        let pattern = |id: &str, ground: &str, size: u32, path: &str, stroke: &str, width: f64| {
            format!(
                "<pattern id=\"{id}\" width=\"{size}\" height=\"{size}\" patternUnits=\"userSpaceOnUse\">\
                 <rect width=\"{size}\" height=\"{size}\" fill=\"{ground}\"/>\
                 <path d=\"{path}\" stroke=\"{stroke}\" stroke-width=\"{width}\"/></pattern>\n"
            )
        };
        let patterns = [
            pattern("starting", "#ffffff", 4, "M1 0V4", GREY, 1.0),
            pattern("not-up", "#ffffff", 8, "M-2 2L2-2M0 8L8 0M6 10L10 6", "#2c5f8a", 2.0),
            pattern("stopping", "#e9b872", 8, "M-2 6L2 10M0 0L8 8M6-2L10 2", "#a05a12", 2.0),
        ]
        .concat();
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
             viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
             font-family=\"'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace\">\n\
             <title>{title}</title>\n\
             <style>.h{{paint-order:stroke;stroke:#ffffff;stroke-width:3px;stroke-linejoin:round}}</style>\n\
             <defs>\n{patterns}</defs>\n\
             <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n{}</svg>\n",
            self.drawn
        )
    }
}

/// An arrow down.
pub(super) fn arrow(page: &mut Page, x: f64, from: f64, to: f64, title: &str) {
    page.line((x, from), (x, to - 5.0), "stroke=\"#1d1d1d\" stroke-width=\"1.2\"");
    let (left, right, top) = (number(x - 4.0), number(x + 4.0), number(to - 7.0));
    let points = format!("{left},{top} {right},{top} {},{}", number(x), number(to));
    page.shape(&format!("polygon points=\"{points}\" fill=\"#1d1d1d\""), title);
}

/// A cross, on white.
pub(super) fn cross(page: &mut Page, x: f64, y: f64, arm: f64, title: &str) {
    let (l, r, t, b) = (number(x - arm), number(x + arm), number(y - arm), number(y + arm));
    let path = format!("path d=\"M{l} {t}L{r} {b}M{r} {t}L{l} {b}\" fill=\"none\"");
    page.shape(&format!("{path} stroke=\"#ffffff\" stroke-width=\"4.5\""), "");
    page.shape(&format!("{path} stroke=\"{FIRE}\" stroke-width=\"2\""), title);
}

/// One decimal is a tenth of a pixel.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// What may stand in XML.
pub(in crate::timeline) fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
