//! What libFuzzer says while it runs.

/// The head of the table of all targets.
pub(super) const HEAD: &str = "\
| target | executions | edges | the last new one at | seconds | |
|---|---:|---:|---:|---:|---|";

/// How far it came.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Executions.
    pub(super) runs: u64,
    /// Edges that were reached.
    edges: u64,
    /// The execution that reached the last one of them; 0: it was known before.
    newest: u64,
    /// It took so long.
    pub(super) seconds: f64,
    /// Something is wrong with an input.
    pub(super) crashed: bool,
    /// The corpus that it began with is read.
    has_begun: bool,
}

impl Progress {
    /// Takes a line of its output in: `#4096  NEW    cov: 120 ft: 310 …`, or statistics at the end.
    pub(super) fn read(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix('#') {
            let mut words = rest.split_ascii_whitespace();
            let Some(runs) = words.next().and_then(|word| word.parse().ok()) else { return };
            self.runs = self.runs.max(runs);
            let what = words.next();
            let edges = words.skip_while(|word| *word != "cov:").nth(1).and_then(|word| word.parse().ok());
            if let Some(edges) = edges.filter(|edges| *edges > self.edges) {
                self.edges = edges;
                self.newest = if self.has_begun { runs } else { 0 };
            }
            self.has_begun |= what == Some("INITED");
        } else if let Some(runs) = line.strip_prefix("stat::number_of_executed_units:") {
            self.runs = runs.trim().parse().unwrap_or(self.runs);
        } else if let Some(rest) = line.strip_prefix("Done ") {
            let seconds = rest.split_ascii_whitespace().nth(3).and_then(|word| word.parse().ok());
            self.seconds = seconds.unwrap_or(self.seconds);
        } else if line.contains("panicked at")
            || line.starts_with("ERROR")
            || line.contains("Test unit written")
        {
            eprintln!("{line}");
        }
    }

    /// Another run that went on from this one's corpus.
    pub(super) fn add(&mut self, next: Self) {
        if next.newest > 0 && next.edges > self.edges {
            self.newest = self.runs + next.newest;
        }
        self.edges = self.edges.max(next.edges);
        self.runs += next.runs;
        self.seconds += next.seconds;
        self.crashed |= next.crashed;
    }

    /// Whether the last fifth of all executions reached no new edge.
    pub(super) fn is_exhausted(&self) -> bool {
        self.newest * 5 <= self.runs * 4
    }

    /// A line of the table.
    pub(super) fn to_line(&self, target: &str) -> String {
        let Self { runs, edges, newest, seconds, .. } = self;
        let verdict = match (self.crashed, self.is_exhausted()) {
            (true, _) => "FOUND A FAULT",
            (false, true) => "nothing new in the last fifth",
            (false, false) => "still finds new edges",
        };
        format!("| {target} | {runs} | {edges} | {newest} | {seconds:.0} | {verdict} |")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_says_is_understood() {
        let mut progress = Progress::default();
        for line in [
            "#2\tINITED cov: 40 ft: 41 corp: 1/1b exec/s: 0 rss: 31Mb",
            "#90\tNEW    cov: 44 ft: 50 corp: 2/5b lim: 4 exec/s: 0 rss: 31Mb L: 4/4 MS: 1",
            "#400\tREDUCE cov: 44 ft: 50 corp: 2/4b lim: 4 exec/s: 0 rss: 31Mb L: 3/3 MS: 1",
            "#1000\tDONE   cov: 44 ft: 50 corp: 2/4b lim: 4 exec/s: 0 rss: 31Mb",
            "Done 1000 runs in 7 second(s)",
        ] {
            progress.read(line);
        }
        assert_eq!((progress.runs, progress.edges, progress.newest), (1000, 44, 90));
        assert!(progress.is_exhausted() && progress.seconds == 7.0);
        progress.add(Progress { runs: 1000, edges: 45, newest: 900, ..Progress::default() });
        assert_eq!((progress.newest, progress.is_exhausted()), (1900, false));
    }
}
