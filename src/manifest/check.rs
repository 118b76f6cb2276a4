//! Walks a node tree beside the schema: unknown, missing, misshapen, refused and cluster-only fields.

use super::node::{Entry, Node, Value};
use super::problem::{Problem, quoted};
use super::quantity::Quantity;
use super::schema::{Field, Shape, Support, Table};

/// More problems than this are not told; nor more warnings.
pub const MOST: usize = 100;

/// Checks a document; the problems and warnings come in the order of the tables.
pub fn check(node: &Node, table: &Table) -> Vec<Problem> {
    let mut checker = Checker { problems: Vec::new(), errors: 0 };
    checker.object(node, table, "", false);
    checker.problems
}

struct Checker {
    problems: Vec<Problem>,
    /// How many of them are no warnings.
    errors: usize,
}

/// `spec` and `restartPolicy` make `spec.restartPolicy`.
fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

impl Checker {
    fn push(&mut self, problem: Problem) {
        let warnings = self.problems.len() - self.errors;
        let told = if problem.warning { warnings } else { self.errors };
        if told < MOST {
            self.errors += usize::from(!problem.warning);
            self.problems.push(problem);
        }
    }

    fn expect(&mut self, node: &Node, path: &str, what: &str) {
        // The commonest slip of all has its own hint.
        let hint = match node.value {
            Value::Number(..) | Value::Bool(..) if what == "a string" => "; put it in quotes",
            _ => "",
        };
        self.push(node.error(format!("{path}: expected {what}, found {}{hint}", node.kind())));
    }

    /// `quiet`: below a cluster-only field, where only spelling and shape matter.
    fn object(&mut self, node: &Node, table: &Table, path: &str, quiet: bool) {
        let Value::Map(entries) = &node.value else {
            let whole = if path.is_empty() { "the document" } else { path };
            return self.expect(node, whole, "an object");
        };
        for entry in entries {
            match table.fields.iter().find(|field| field.name == entry.key) {
                Some(field) => self.field(entry, field, &join(path, &entry.key), quiet),
                None => self.unknown(entry, table, path),
            }
        }
        for field in table.fields.iter().filter(|field| field.required && node.get(field.name).is_none()) {
            // A key without a value is a better place to point at than the parent.
            let key = entries.iter().find(|entry| entry.key == field.name);
            let (line, column) = key.map_or((node.line, node.column), |key| (key.line, key.column));
            self.push(Problem::error(line, column, format!("{} is required", join(path, field.name))));
        }
    }

    fn unknown(&mut self, entry: &Entry, table: &Table, path: &str) {
        // To look for the nearest name takes its time.
        if self.errors == MOST {
            return;
        }
        let place = if path.is_empty() { String::new() } else { format!(" in {path}") };
        let names = table.fields.iter().map(|field| field.name);
        let hint =
            nearest(&entry.key, names).map_or(String::new(), |name| format!("; did you mean \"{name}\"?"));
        let message = format!("unknown field {}{place}{hint}", quoted(&entry.key));
        self.push(Problem::error(entry.line, entry.column, message));
    }

    fn field(&mut self, entry: &Entry, field: &Field, path: &str, quiet: bool) {
        let node = &entry.value;
        if node.value == Value::Null || field.is_unset_by(node.text()) {
            return;
        }
        // `[]` says nothing in any group; `{}` does, because it chooses a type of volume or handler.
        let empty_map =
            node.value == Value::Map(Vec::new()) && matches!(field.support, Support::ClusterOnly(_));
        let is_idle = empty_map
            || node.value == Value::List(Vec::new())
            || node.written().is_some_and(|text| field.idle.contains(&text));
        if !quiet && !is_idle {
            self.support(entry.line, entry.column, path, field.support);
        }
        match field.support {
            Support::Honoured => self.shape(node, field.shape, path, quiet),
            Support::ClusterOnly(_) => self.shape(node, field.shape, path, true),
            Support::NotYet(_) | Support::Never(_) => {}
        }
    }

    fn support(&mut self, line: usize, column: usize, what: &str, support: Support) {
        match support {
            Support::Honoured => {}
            Support::ClusterOnly(why) => {
                self.push(Problem::warning(
                    line,
                    column,
                    format!("{what} means nothing on one machine: {why}"),
                ));
            }
            Support::NotYet("") => {
                self.push(Problem::error(line, column, format!("{what} is not supported yet")))
            }
            Support::NotYet(hint) => {
                self.push(Problem::error(line, column, format!("{what} is not supported yet: {hint}")))
            }
            Support::Never(why) => {
                self.push(Problem::error(line, column, format!("{what} is not supported: {why}")))
            }
        }
    }

    fn shape(&mut self, node: &Node, shape: Shape, path: &str, quiet: bool) {
        match shape {
            Shape::Anything => {}
            Shape::Text => self.text(node, path),
            Shape::OneOf(values) => self.one_of(node, values, path, quiet),
            Shape::Flag => {
                if node.boolean().is_none() {
                    self.expect(node, path, "true or false");
                }
            }
            Shape::Int(from, to) => self.int(node, from, to, path),
            Shape::Port => match &node.value {
                Value::String(_) => {}
                _ => self.int(node, 1, 65535, path),
            },
            Shape::Amount => self.amount(node, path),
            Shape::Amounts => {
                self.each_entry(node, path, |checker, entry, path| checker.amount(&entry.value, path))
            }
            Shape::Texts => self
                .each_item(node, path, "a list of strings", |checker, item, path| checker.text(item, path)),
            Shape::Ints(from, to) => {
                self.each_item(node, path, "a list of integers", |checker, item, path| {
                    checker.int(item, from, to, path)
                });
            }
            Shape::TextMap => {
                self.each_entry(node, path, |checker, entry, path| checker.text(&entry.value, path))
            }
            Shape::Object(table) => self.object(node, table, path, quiet),
            Shape::List(table) => {
                self.each_item(node, path, "a list of objects", |checker, item, path| {
                    checker.object(item, table, path, quiet)
                });
            }
        }
    }

    fn text(&mut self, node: &Node, path: &str) {
        if node.text().is_none() {
            self.expect(node, path, "a string");
        }
    }

    fn int(&mut self, node: &Node, from: i64, to: i64, path: &str) {
        match node.integer() {
            None => self.expect(node, path, "an integer"),
            Some(value) if value < from || value > to => {
                let range = match (from, to) {
                    (_, i64::MAX) => format!("{from} or more"),
                    _ => format!("{from} to {to}"),
                };
                self.push(node.error(format!("{path}: {value} is not in the range {range}")));
            }
            Some(_) => {}
        }
    }

    fn one_of(&mut self, node: &Node, values: &[(&str, Support)], path: &str, quiet: bool) {
        let Some(text) = node.text() else { return self.expect(node, path, "a string") };
        match values.iter().find(|(value, _)| *value == text) {
            Some((value, support)) => {
                if !quiet {
                    self.support(node.line, node.column, &format!("{path}: {value}"), *support);
                }
            }
            None => {
                let hint = nearest(text, values.iter().map(|(value, _)| *value));
                let hint = hint.map_or(String::new(), |value| format!("; did you mean \"{value}\"?"));
                let names: Vec<_> =
                    values.iter().map(|(value, _)| *value).filter(|value| !value.is_empty()).collect();
                self.push(node.error(format!(
                    "{path}: {} is not one of {}{hint}",
                    quoted(text),
                    names.join(", ")
                )));
            }
        }
    }

    fn amount(&mut self, node: &Node, path: &str) {
        match node.written() {
            Some(text) if !matches!(node.value, Value::Bool(..)) => {
                if let Err(error) = Quantity::parse(text) {
                    self.push(node.error(format!("{path}: {} {error}", quoted(text))));
                }
            }
            _ => self.expect(node, path, "a quantity"),
        }
    }

    fn each_item(&mut self, node: &Node, path: &str, what: &str, check: impl Fn(&mut Checker, &Node, &str)) {
        let Value::List(items) = &node.value else { return self.expect(node, path, what) };
        for (index, item) in items.iter().enumerate() {
            check(self, item, &format!("{path}[{index}]"));
        }
    }

    fn each_entry(&mut self, node: &Node, path: &str, check: impl Fn(&mut Checker, &Entry, &str)) {
        let Value::Map(entries) = &node.value else { return self.expect(node, path, "an object") };
        for entry in entries {
            check(self, entry, &format!("{path}[{}]", quoted(&entry.key)));
        }
    }
}

/// The name that was probably meant: the same but for upper and lower case, or few edits away.
pub fn nearest<'a>(given: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if given.len() > 64 {
        return None;
    }
    let given = given.to_lowercase().replace(['_', '-'], "");
    let distances = names.map(|name| (strsim::osa_distance(&given, &name.to_lowercase()), name));
    let (distance, name) = distances.min_by_key(|(distance, _)| *distance)?;
    // A short name allows fewer slips than a long one.
    (distance <= (name.len() / 3).clamp(1, 4) && distance < name.len()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_for_slips_and_not_for_strangers() {
        let names = ["containers", "initContainers", "volumes", "restartPolicy", "env", "envFrom"];
        for (given, expected) in [
            ("contianers", Some("containers")),
            ("container", Some("containers")),
            ("InitContainers", Some("initContainers")),
            ("init_containers", Some("initContainers")),
            ("volume", Some("volumes")),
            ("restartpolicy", Some("restartPolicy")),
            ("evn", Some("env")),
            ("replicas", None),
            ("x", None),
        ] {
            assert_eq!(nearest(given, names.into_iter()), expected, "{given}");
        }
    }
}
