//! Documents in the shape of gitlab-runner's `config.toml`, in every layout that TOML allows.
//!
//! A row of bytes makes all the choices, so a failing document shrinks with its bytes.

pub(crate) mod plain;

/// Makes one document out of bytes; when they run out, every choice is the plainest.
pub(crate) fn document(bytes: &[u8]) -> String {
    let mut maker = Maker { bytes: bytes.iter(), endings: 0, indent: "" };
    maker.document()
}

struct Maker<'b> {
    bytes: std::slice::Iter<'b, u8>,
    endings: usize,
    indent: &'static str,
}

impl Maker<'_> {
    fn pick(&mut self, choices: usize) -> usize {
        usize::from(*self.bytes.next().unwrap_or(&0)) % choices
    }

    fn one_of(&mut self, choices: &[&'static str]) -> &'static str {
        let choice = self.pick(choices.len());
        choices[choice]
    }

    fn document(&mut self) -> String {
        self.endings = self.pick(3);
        self.indent = self.one_of(&["  ", "", "\t", "    "]);
        let mut text = String::new();
        if self.pick(8) == 1 {
            text.push('\u{feff}');
        }
        text += &self.filler();
        for name in ["concurrent", "check_interval", "a b"] {
            if self.pick(2) == 1 {
                let value = self.integer();
                text += &self.entry("", &[name], &value);
            }
        }
        let runners = self.pick(4);
        if self.pick(5) == 1 {
            text += &self.inline_runners(runners);
        } else {
            if self.pick(2) == 1 {
                text += &self.session_server();
            }
            for number in 0..runners {
                text += &self.runner(number);
            }
        }
        text += &self.filler();
        if self.pick(4) == 1 {
            // No last line ending.
            let end = text.strip_suffix('\n').unwrap_or(&text);
            return end.strip_suffix('\r').unwrap_or(end).to_owned();
        }
        text
    }

    fn session_server(&mut self) -> String {
        let mut text = self.header("", &["session_server"], false);
        if self.pick(2) == 1 {
            let value = self.integer();
            text += &self.entry(self.indent, &["timeout"], &value);
        }
        text + &self.filler()
    }

    fn runner(&mut self, number: usize) -> String {
        let (outer, inner) = (self.indent, self.indent.repeat(2));
        let mut text = self.header("", &["runners"], true);
        text += &self.filler();
        let docker = self.pick(9);
        let entries = match docker {
            3 | 6 => self.docker_entries(&["docker"]),
            4 => vec![(vec!["docker"], self.inline_docker())],
            8 => vec![(vec!["docker", "services"], self.services())],
            _ => Vec::new(),
        };
        let mut entries = [self.runner_entries(), entries].concat();
        let turn = self.pick(3).min(entries.len());
        entries.rotate_left(turn);
        for (keys, value) in entries {
            text += &self.entry(outer, &keys, &value);
            if self.pick(6) == 1 {
                text += &self.filler();
            }
        }
        let mut blocks = Vec::new();
        if matches!(docker, 1 | 5 | 7) {
            let mut entries = self.docker_entries(&[]);
            // Not where the list goes on below headers.
            entries.retain(|(keys, _)| docker != 5 || keys != &["services"]);
            blocks.push(self.block(outer, &["runners", "docker"], false, entries));
        }
        if matches!(docker, 2 | 6 | 7) {
            let value = self.string();
            let entries = vec![(vec!["a"], value)];
            blocks.push(self.block(&inner, &["runners", "docker", "sysctls"], false, entries));
        }
        let services = if docker == 5 { 1 + self.pick(3) } else { 0 };
        for _ in 0..services {
            let mut entries = Vec::new();
            for name in ["name", "command", "a"] {
                if self.pick(3) > 0 {
                    let value = if name == "command" { self.strings() } else { self.string() };
                    entries.push((if name == "a" { vec!["a", "b"] } else { vec![name] }, value));
                }
            }
            blocks.push(self.block(&inner, &["runners", "docker", "services"], true, entries));
        }
        if self.pick(2) == 1 {
            blocks.push(self.block(outer, &["runners", "cache"], false, Vec::new()));
        }
        if self.pick(3) == 1 {
            let value = self.string();
            let entries = vec![(vec!["Key"], value)];
            blocks.push(self.block(&inner, &["runners", "cache", "s3"], false, entries));
        }
        if self.pick(3) == 1 {
            let name = ["other0", "other1", "other2", "other3"][number];
            let value = self.value();
            blocks.push(self.block("", &[name], false, vec![(vec!["x"], value)]));
        }
        // A table may stand before its parent, but an element of a list may not.
        if docker != 5 {
            let turn = self.pick(4).min(blocks.len());
            blocks.rotate_left(turn);
        }
        text + &blocks.concat()
    }

    fn inline_runners(&mut self, runners: usize) -> String {
        let mut elements = Vec::new();
        for _ in 0..runners {
            let mut entries = self.runner_entries();
            match self.pick(3) {
                1 => entries.push((vec!["docker"], self.inline_docker())),
                2 => entries.extend(self.docker_entries(&["docker"])),
                _ => {}
            }
            elements.push(self.inline_table(&entries));
        }
        let value = self.list(&elements);
        self.entry("", &["runners"], &value)
    }

    fn runner_entries(&mut self) -> Vec<(Vec<&'static str>, String)> {
        let mut entries = Vec::new();
        for name in ["name", "limit", "environment", "extra"] {
            if self.pick(2) == 1 {
                let value = match name {
                    "name" => self.string(),
                    "limit" => self.integer(),
                    "environment" => self.strings(),
                    _ => self.value(),
                };
                entries.push((vec![name], value));
            }
        }
        entries
    }

    fn docker_entries(&mut self, prefix: &[&'static str]) -> Vec<(Vec<&'static str>, String)> {
        let mut entries = Vec::new();
        for name in ["image", "privileged", "volumes", "services", "extra"] {
            let needed = name == "extra" && entries.is_empty() && !prefix.is_empty();
            if needed || self.pick(2) == 1 {
                let value = match name {
                    "image" => self.string(),
                    "privileged" => self.one_of(&["true", "false", "'true'"]).to_owned(),
                    "volumes" => self.strings(),
                    "services" => self.services(),
                    _ => self.value(),
                };
                entries.push(([prefix, &[name]].concat(), value));
            }
        }
        entries
    }

    /// A list of tables between braces.
    fn services(&mut self) -> String {
        let count = self.pick(4);
        let mut elements = Vec::new();
        for _ in 0..count {
            let mut entries = Vec::new();
            for name in ["name", "command"] {
                if self.pick(3) > 0 {
                    let value = if name == "command" { self.strings() } else { self.string() };
                    entries.push((vec![name], value));
                }
            }
            elements.push(self.inline_table(&entries));
        }
        self.list(&elements)
    }

    fn inline_docker(&mut self) -> String {
        let entries = self.docker_entries(&[]);
        self.inline_table(&entries)
    }

    fn block(
        &mut self,
        indent: &str,
        path: &[&str],
        list: bool,
        entries: Vec<(Vec<&'static str>, String)>,
    ) -> String {
        let mut text = self.filler() + &self.header(indent, path, list);
        let inner = format!("{indent}{}", self.indent);
        for (keys, value) in entries {
            text += &self.entry(&inner, &keys, &value);
        }
        text + &self.filler()
    }

    fn header(&mut self, indent: &str, path: &[&str], list: bool) -> String {
        let (open, close) = if list { ("[[", "]]") } else { ("[", "]") };
        let (before, after) = (self.blank(), self.blank());
        let path = self.keys(path);
        let comment = self.comment();
        format!("{indent}{open}{before}{path}{after}{close}{comment}{}", self.ending())
    }

    fn entry(&mut self, indent: &str, keys: &[&str], value: &str) -> String {
        let (before, after) = (self.blank(), self.blank());
        let keys = self.keys(keys);
        let comment = self.comment();
        format!("{indent}{keys}{before}={after}{value}{comment}{}", self.ending())
    }

    fn keys(&mut self, path: &[&str]) -> String {
        let mut text = String::new();
        for key in path {
            if !text.is_empty() {
                text += self.one_of(&[".", ".", " . ", "\t."]);
            }
            let quoted = if key.contains(' ') { 1 + self.pick(3) } else { self.pick(9) };
            let key = match quoted {
                1 => format!("\"{key}\""),
                2 => format!("'{key}'"),
                3 => format!("\"\\u{:04x}{}\"", u32::from(key.as_bytes()[0]), &key[1..]),
                _ => (*key).to_owned(),
            };
            text += &key;
        }
        text
    }

    fn inline_table(&mut self, entries: &[(Vec<&str>, String)]) -> String {
        let mut parts = Vec::new();
        for (keys, value) in entries {
            let keys = self.keys(keys);
            let sign = self.one_of(&[" = ", "=", " =\t"]);
            parts.push(format!("{keys}{sign}{value}"));
        }
        self.brackets("{", &parts, "}")
    }

    fn strings(&mut self) -> String {
        let count = self.pick(4);
        let elements: Vec<String> = (0..count).map(|_| self.string()).collect();
        self.list(&elements)
    }

    fn list(&mut self, elements: &[String]) -> String {
        self.brackets("[", elements, "]")
    }

    /// Lists, and tables as TOML 1.1 allows them, in all their layouts.
    fn brackets(&mut self, open: &str, parts: &[String], close: &str) -> String {
        let mut text = open.to_owned();
        let wide = self.pick(3);
        for (index, part) in parts.iter().enumerate() {
            text += &self.gap(wide);
            text += part;
            if index + 1 < parts.len() || self.pick(3) == 1 {
                let before_comma = if wide == 2 { self.pick(3) } else { 0 };
                text += &self.gap(before_comma);
                text += ",";
            }
        }
        text += &self.gap(wide);
        text + close
    }

    /// Blanks between the parts of a list: none, some, or line breaks and comments too.
    fn gap(&mut self, wide: usize) -> String {
        match wide {
            0 => String::new(),
            1 => self.blank().to_owned(),
            _ => {
                let mut text = self.blank().to_owned();
                for _ in 0..self.pick(3) {
                    text += self.one_of(&["", " # ',] }", "#\t\"", "# é"]);
                    text += self.ending();
                    text += self.one_of(&["", "  ", "\t", "    "]);
                }
                text
            }
        }
    }

    fn value(&mut self) -> String {
        match self.pick(6) {
            0 => self.integer(),
            1 => self.string(),
            2 => self.one_of(&["1979-05-27T07:32:00Z", "07:32:00", "1979-05-27"]).to_owned(),
            3 => self.one_of(&["1.5", "-inf", "nan", "6e-2"]).to_owned(),
            4 => self.list(&["1".to_owned(), "[ 2 ]".to_owned(), "{ a = ',' }".to_owned()]),
            _ => self.inline_docker(),
        }
    }

    fn integer(&mut self) -> String {
        self.one_of(&["1", "0", "-4", "+1_000", "0x10", "0o7", "0b11"]).to_owned()
    }

    fn string(&mut self) -> String {
        let text = self.one_of(&["/cache", "", "a b", "# no", "[runners]", "x = 1", "é€"]);
        match self.pick(5) {
            0 => format!("\"{text}\""),
            1 => format!("'{text}'"),
            2 => format!("\"\"\"{}{text}\"\"\"", self.ending()),
            3 => format!("'''{0}[[runners]]{0}# {text}{0}'''", self.ending()),
            _ => format!("\"\\t\\u00e9 \\\\ \\\" {text}\""),
        }
    }

    fn blank(&mut self) -> &'static str {
        self.one_of(&["", " ", "  ", "\t"])
    }

    fn comment(&mut self) -> &'static str {
        self.one_of(&["", "", " ", " # c", "#[[runners]]", "\t# \"\"\" '"])
    }

    fn ending(&mut self) -> &'static str {
        match self.endings {
            0 => "\n",
            1 => "\r\n",
            _ => self.one_of(&["\n", "\r\n"]),
        }
    }

    fn filler(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..self.pick(4) {
            text += self.one_of(&["", "# x = 1", "  # [y]", "\t", "#", "    # é"]);
            text += self.ending();
        }
        text
    }
}
