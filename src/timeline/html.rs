//! The picture and the list as one page.

use std::fmt::Write;

use super::svg::{self, escape};
use super::{Timeline, text};

/// The page; it needs nothing but itself.
pub fn render(timeline: &Timeline) -> String {
    let title = escape(&text::headline(timeline));
    let mut rows = String::new();
    for moment in &timeline.moments {
        let class = if moment.warning { " class=\"warning\"" } else { "" };
        let (time, who) = (moment.at.as_secs_f64(), moment.container.as_deref().unwrap_or("pod"));
        let sign = if moment.warning { "!" } else { "" };
        let (who, what) = (escape(who), escape(&moment.what));
        // A String takes everything.
        writeln!(rows, "<tr{class}><td>{time:.3}s</td><td>{sign}</td><td>{who}</td><td>{what}</td></tr>")
            .ok();
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n<title>{title}</title>\n<style>\n\
         body {{ font-family: 'DejaVu Sans Mono', Menlo, Consolas, monospace; font-size: 14px; margin: 1em; }}\n\
         svg {{ max-width: 100%; height: auto; }}\n\
         td {{ padding: 2px 12px 2px 0; vertical-align: top; }}\n\
         td:first-child {{ text-align: right; font-variant-numeric: tabular-nums; }}\n\
         .warning td {{ color: #8c1d18; }}\n\
         </style>\n</head>\n<body>\n{}<table>\n{rows}</table>\n</body>\n</html>\n",
        svg::render(timeline, false)
    )
}
