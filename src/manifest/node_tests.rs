use super::*;

fn one(text: &str) -> Node {
    parse(text).unwrap().remove(0)
}

fn fails(text: &str) -> (usize, usize, String) {
    let problem = parse(text).unwrap_err();
    (problem.line, problem.column, problem.message)
}

fn value(text: &str) -> Json {
    one(&format!("v: {text}")).json()["v"].take()
}

#[test]
fn every_value_knows_its_line_and_column() {
    let node = one("a:\n  - b: x\n    c: [1, {d: 2}]\n");
    let a = node.get("a").unwrap();
    let item = &a.items()[0];
    assert_eq!((item.line, item.column), (2, 5));
    let c = &item.entries()[1];
    assert_eq!((c.line, c.column, c.value.line, c.value.column), (3, 5, 3, 8));
    let d = c.value.items()[1].get("d").unwrap();
    assert_eq!((d.line, d.column), (3, 16));
}

#[test]
fn scalars_are_read_as_kubectl_reads_them() {
    use serde_json::json;
    for (text, expected) in [
        ("yes", json!(true)),
        ("off", json!(false)),
        ("True", json!(true)),
        ("0777", json!(511)),
        ("0x1F", json!(31)),
        ("0b101", json!(5)),
        ("0o17", json!(15)),
        ("1_000", json!(1000)),
        ("-5", json!(-5)),
        ("1.5", json!(1.5)),
        ("1e3", json!(1000)),
        ("-5.0", json!(-5)),
        ("9223372036854775808", json!(9223372036854775808.0)),
        ("1e999", json!("1e999")),
        (".inf", json!(".inf")),
        ("1:30", json!("1:30")),
        ("2026-11-21", json!("2026-11-21")),
        ("'yes'", json!("yes")),
        ("\"1\"", json!("1")),
        ("!!str 1", json!("1")),
        ("!!int 1", json!(1)),
        ("1.2.3", json!("1.2.3")),
        ("1Gi", json!("1Gi")),
        ("-", json!(["x"])),
        ("--5", json!("--5")),
        ("+-5", json!("+-5")),
        (".", json!(".")),
        ("|\n  a\n  b\n", json!("a\nb\n")),
    ] {
        if text != "-" {
            assert_eq!(value(text), expected, "{text}");
        }
    }
}

#[test]
fn nothing_and_null_are_absent() {
    let node = one("a:\nb: null\nc: ~\nd: x");
    assert!(node.get("a").is_none() && node.get("b").is_none() && node.get("c").is_none());
    assert_eq!(node.json().to_string(), r#"{"d":"x"}"#);
    assert_eq!((node.entries()[0].value.line, node.entries()[0].value.column), (1, 1));
}

#[test]
fn json_is_read_too_tabs_and_all() {
    let text = "{\n\t\"kind\": \"Pod\",\n\t\"list\":[1,2.5,true,null,\"\\u00e9\\n\\/\"],\n\t\"empty\":{},\"e\":[]\n}\n";
    let read = one(text).json();
    assert_eq!(read.to_string(), r#"{"kind":"Pod","list":[1,2.5,true,null,"é\n/"],"empty":{},"e":[]}"#);
    let compact = r#"{"a":{"b":[{"c":"d"},{"e":"f:g"}]},"h":"{}"}"#;
    assert_eq!(one(compact).json().to_string(), compact);
}

#[test]
fn what_serde_json_prints_is_read_back() {
    let value = serde_json::json!({"a": [{"b": "x: y # z"}, {"c": ["", " ", "\t", "é", "\u{1F600}"]}], "d": {"e": -1}, "f": "*no", "g": "&no"});
    for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
        assert_eq!(one(&text).json(), value, "{text}");
    }
}

#[test]
fn surrogate_pairs_of_json_are_one_character() {
    let read = |text: &str| one(text).get("a").unwrap().text().unwrap().to_owned();
    assert_eq!(read(r#" {"a": "\ud83d\ude00\u0041\uD83D\uDE00"}"#), "😀A😀");
    assert_eq!(read(r#"{"a": "\\ud83d\\ude00"}"#), r"\ud83d\ude00");
    assert_eq!(read(r#"a: '\ud83d\ude00'"#), r"\ud83d\ude00");
    for broken in [
        r#"{"a": "\ud83d"}"#,
        r#"{"a": "\ud83dx"}"#,
        r#"{"a": "\ude00\ud83d"}"#,
        r#"{"a": "\"#,
        r#"{"a": "\ué"#,
    ] {
        fails(broken);
    }
}

#[test]
fn several_documents_are_several_nodes_and_empty_ones_are_none() {
    assert_eq!(parse("---\na: 1\n---\n---\n# only a comment\n---\nb: 2\n...\n").unwrap().len(), 2);
    assert!(parse("").unwrap().is_empty());
    assert!(parse("# nothing\n").unwrap().is_empty());
}

#[test]
fn documents_of_json_need_nothing_between_them() {
    for text in [
        "{\"a\": 1}\n{\"b\": {\"c\": 2}}\n",
        " {\"a\":1}{\"b\":{\"c\":2}}",
        "{\"a\": 1}\r\n\r\n\t {\"b\": {\"c\": 2}}\n---\n",
        "{\"a\": 1}\n---\nb: {c: 2}\n",
    ] {
        let documents: Vec<_> = parse(text).unwrap().iter().map(|node| node.json().to_string()).collect();
        assert_eq!(documents, [r#"{"a":1}"#, r#"{"b":{"c":2}}"#], "{text}");
    }
    assert_eq!(parse("{\"a\": \"}{\"}").unwrap().len(), 1);
    for broken in ["{} x", "{}]", "{}, {}", "---\n{}\n{}\n", "a: 1\n{}\n"] {
        fails(broken);
    }
}

#[test]
fn a_place_in_a_later_document_of_json_counts_from_the_beginning() {
    for (text, place) in [
        ("{\"a\": 1}\n {\"b\": 2}", (2, 3)),
        ("{\"a\": \"é😀\"} {\"b\": 2}", (1, 14)),
        ("{\n\"a\": 1\n} {}{\"b\": 2}", (3, 6)),
    ] {
        let documents = parse(text).unwrap();
        let entry = &documents.last().unwrap().entries()[0];
        assert_eq!((entry.line, entry.column), place, "{text}");
    }
    assert_eq!(fails("{\"a\": 1}\n{\"b\": 1,\n \"b\": 2}"), (3, 2, "duplicate key \"b\"".to_owned()));
    assert_eq!(fails("{}\n{}\n}").0, 3);
}

#[test]
fn far_too_many_documents_of_json_are_refused() {
    assert_eq!(parse(&"{}".repeat(1000)).unwrap().len(), 1000);
    assert!(fails(&"{}".repeat(LONGEST / 2)).2.contains("too much"));
    assert_eq!(parse(&"{}\n---\n".repeat(LONGEST / 7)).unwrap().len(), LONGEST / 7);
}

#[test]
fn duplicate_keys_are_refused_where_the_second_stands() {
    assert_eq!(fails("a: 1\nb: 2\na: 3\n"), (3, 1, "duplicate key \"a\"".to_owned()));
    assert_eq!(fails("{\"x\": {\"a\": 1, \"a\": 2}}").1, 16);
}

#[test]
fn anchors_aliases_and_merge_keys_work() {
    let node = one("base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\nagain: *b\nboth:\n  <<: [{z: 1}, *b]\n");
    assert_eq!(node.get("use").unwrap().json().to_string(), r#"{"y":3,"x":1}"#);
    assert_eq!(node.get("again").unwrap().json().to_string(), r#"{"x":1,"y":2}"#);
    assert_eq!(node.get("both").unwrap().json().to_string(), r#"{"z":1,"x":1,"y":2}"#);
    assert!(fails("a:\n  <<: 5\n").2.contains("merge key"));
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    assert!(fails(&bomb).2.contains("too much"));
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(500_000), vec!["*a"; 1000].join(","));
    assert!(fails(&long).2.contains("too much"));
}

#[test]
fn an_alias_inside_of_its_anchor_is_refused() {
    assert!(fails("a: &a [*a]\n").2.contains("alias"));
    assert!(!fails("a: *nowhere\n").2.is_empty());
    assert!(!fails("a: &a x\n---\nb: *a\n").2.is_empty(), "anchors end with their document");
}

#[test]
fn deep_nesting_is_refused_in_every_style() {
    assert!(
        fails(&"[".repeat(100_000)).2.contains("nested") || fails(&"[".repeat(100_000)).2.contains("limit")
    );
    assert!(fails(&format!("{}1{}", "[".repeat(65), "]".repeat(65))).2.contains("nested deeper"));
    assert!(fails(&format!("a: {}", "{a: ".repeat(70))).2.contains("nested deeper"));
    let block: String = (0..80).map(|depth| format!("{:1$}a:\n", "", depth)).collect();
    assert!(fails(&block).2.contains("nested deeper"));
    assert!(fails(&"- ".repeat(1000)).2.contains("nested deeper"));
    assert!(parse(&format!("{}1{}", "[".repeat(60), "]".repeat(60))).is_ok());
}

#[test]
fn too_long_a_document_is_refused() {
    assert!(fails(&"#".repeat(LONGEST + 1)).2.contains("1024 KiB"));
}

#[test]
fn characters_that_are_no_text_are_refused_where_they_stand() {
    assert_eq!(fails("a: b\nc: \u{fffd}"), (2, 4, "not UTF-8".to_owned()));
    assert_eq!(fails("a: b\r\nc: x\0y"), (2, 5, "control character U+0000".to_owned()));
    assert_eq!(fails("\u{1b}[2J").2, "control character U+001B");
}

#[test]
fn broken_yaml_names_the_place() {
    for text in [
        "a: [1, 2",
        "a: 'x",
        "a:\n\tb: 1\n",
        "a: b: c",
        "- a\nb: c",
        "{a: 1",
        "a: @x",
        "%YAML 9",
        "? [a]\n: b",
        "a: |x\n",
    ] {
        let (line, column, message) = fails(text);
        assert!(line >= 1 && column >= 1 && !message.is_empty(), "{text:?}: {line}:{column}: {message}");
    }
}

#[test]
fn foreign_tags_are_refused() {
    for text in [
        "a: !mine x",
        "a: !!binary aGk=",
        "a: !!python/object x",
        "a: !x {b: 1}",
        "a: !!set {b: }",
        "a: !!int x",
    ] {
        assert!(fails(text).2.contains("tag"), "{text}");
    }
}

#[test]
fn a_mapping_may_have_very_many_keys() {
    let text: String = (0..90_000).map(|n| format!("k{n}: 1\n")).collect();
    assert_eq!(one(&text).entries().len(), 90_000);
}
