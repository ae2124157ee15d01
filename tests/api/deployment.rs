//! What operators read and deploy matches the program.

use std::fs;
use std::path::Path;

use idlewatt::config::VARIABLES;

/// Variables in the deployments that belong to other programs.
const OF_OTHERS: [&str; 6] = [
    "GF_ANALYTICS_REPORTING_ENABLED",
    "GF_SECURITY_ADMIN_PASSWORD",
    "POSTGRES_DB",
    "POSTGRES_PASSWORD",
    "POSTGRES_USER",
    "GRAFANA_PASSWORD",
];

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
}

#[test]
fn the_documentation_lists_every_variable_and_its_default() {
    let handbook = file("docs/operations.md");
    let rows = handbook.lines().skip_while(|line| *line != "## Variables");
    let told: Vec<(String, String, String)> = rows
        .filter_map(|row| row.strip_prefix("| `"))
        .map(|row| {
            let mut cells = row.split(" |");
            let mut cell = || cells.next().expect("a cell").trim().trim_matches('`').to_owned();
            (cell(), cell(), cell())
        })
        .collect();
    let known = VARIABLES.iter().map(|it| (it.name.into(), it.default.into(), it.help.into()));
    assert_eq!(told, known.collect::<Vec<_>>());
}

#[test]
fn the_documentation_explains_every_alert() {
    let (handbook, rules) = (file("docs/operations.md"), file("deploy/prometheus/rules.yml"));
    let tests = file("deploy/prometheus/rules_test.yml");
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.split_once("- alert: ")).collect();
    assert!(alerts.len() >= 10);
    for (_, alert) in alerts {
        let heading = format!("### {alert}\n");
        let (_, text) = handbook.split_once(&heading).unwrap_or_else(|| panic!("no {heading}"));
        let text = text.split("\n#").next().expect("text");
        assert!(text.contains("*Do:*"), "{alert}: what is to be done?");
        let anchor = format!("docs/operations.md#{}\n", alert.to_lowercase());
        assert!(rules.contains(&anchor), "{alert} leads nowhere");
        assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert} is not tested");
    }
}

#[test]
fn deployments_set_known_variables_only() {
    let is_variable = |word: &&str| {
        word.len() > 3
            && word.contains('_')
            && word.bytes().all(|it| it.is_ascii_uppercase() || it.is_ascii_digit() || it == b'_')
    };
    let files = ["Dockerfile", "cloudtype.yaml", "compose.yaml", "deploy/k8s/config.yaml"];
    for path in files.into_iter().chain(["deploy/k8s/api.yaml", "deploy/k8s/worker.yaml"]) {
        let text = file(path);
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let words =
            lines.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
        let mut found = 0;
        for word in words.filter(is_variable) {
            let known = VARIABLES.iter().any(|it| it.name == word) || OF_OTHERS.contains(&word);
            assert!(known, "{path}: nothing reads {word}");
            found += 1;
        }
        assert!(found > 0 || path.starts_with("deploy/k8s"), "{path}");
    }
}

/// The parts of a text between two marks, in their order.
fn between<'a>(text: &'a str, mark: &str) -> Vec<&'a str> {
    text.split(mark).skip(1).step_by(2).collect()
}

/// The Korean texts have the same commands and the same names.
#[test]
fn translations_are_up_to_date() {
    for (english, korean) in
        [("README.md", "README.ko.md"), ("docs/deploy-cloudtype.md", "docs/deploy-cloudtype.ko.md")]
    {
        let (english_text, korean_text) = (file(english), file(korean));
        assert_eq!(between(&english_text, "```"), between(&korean_text, "```"), "{korean}");
        let headings = |text: &str| text.lines().filter(|line| line.starts_with('#')).count();
        assert_eq!(headings(&english_text), headings(&korean_text), "{korean}");
        let names = |text: &str| {
            let prose: String = text.split("```").step_by(2).collect();
            let words = between(&prose, "`").into_iter();
            let mut words: Vec<_> =
                words.map(|it| it.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
            words.sort();
            words.dedup();
            words
        };
        assert_eq!(names(&english_text), names(&korean_text), "{korean}");
    }
}
