//! The report page in a real browser: nothing in the console, tables and figures there, no wider than the screen.
//!
//! Needs `chromium` (or `google-chrome`); without one the test says so and passes. CI installs it.

#[path = "../examples/report_demo.rs"]
mod report_demo;

use nasty_teacher::audit::{Report, decide, verdict};
use nasty_teacher::report::audit::{Options, write};
use std::path::{Path, PathBuf};
use std::process::Command;

fn browser() -> Option<&'static str> {
    let works = |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success());
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find(works)
}

/// Measured in a frame of a phone's or a desktop's width, for a window cannot be made as narrow as a phone.
fn frame(page: &Path, width: usize) -> String {
    format!(
        r#"<!DOCTYPE html><title>waiting</title><iframe id="f" width="{width}" height="900" style="border:0" src="file://{}"></iframe>
<script>
const f = document.getElementById("f");
f.onload = () => {{
  const d = f.contentDocument, count = (what) => d.querySelectorAll(what).length;
  const seen = [...d.querySelectorAll("svg")].filter((s) => s.getBoundingClientRect().width > 0);
  const text = [...d.querySelectorAll("svg text")].filter((t) => t.textContent.includes("NaN"));
  document.body.dataset.found = JSON.stringify({{
    width: d.documentElement.scrollWidth, tables: count("table"), rows: count("tbody tr"), drawn: seen.length,
    images: [...d.images].every((i) => i.naturalWidth > 0), title: d.title, scripts: count("script"), odd: text.length,
  }});
}};
</script>"#,
        page.display()
    )
}

/// What the page looks like at `width`, and what the browser had to say.
fn look(browser: &str, page: &Path, width: usize, folder: &Path) -> (serde_json::Value, String) {
    let wrapper = folder.join(format!("frame-{width}.html"));
    std::fs::write(&wrapper, frame(page, width)).expect("writable");
    let profile = folder.join("profile");
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--allow-file-access-from-files",
            "--enable-logging=stderr",
        ])
        .args(["--virtual-time-budget=20000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("--window-size={},1000", width.max(600)))
        .arg(format!("file://{}", wrapper.display()))
        .output()
        .expect("the browser starts");
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let talk = String::from_utf8_lossy(&output.stderr);
    let console: String = talk.lines().filter(|line| line.contains("CONSOLE")).collect();
    let found = dom.split("data-found=\"").nth(1).and_then(|rest| rest.split('"').next());
    let found =
        found.unwrap_or_else(|| panic!("the page did not load:\n{dom}\n{talk}")).replace("&quot;", "\"");
    (serde_json::from_str(&found).expect("JSON"), console)
}

fn check(browser: &str, page: &Path, tables: u64, figures: u64) {
    let folder = tempfile::tempdir().expect("temp");
    for width in [390, 1280] {
        let (found, console) = look(browser, page, width, folder.path());
        assert_eq!(console, "", "{} at {width}", page.display());
        assert!(
            found["width"].as_u64().expect("a number") <= width as u64,
            "{width}: wider than the screen: {found}"
        );
        assert!(
            found["tables"].as_u64() >= Some(tables) && found["rows"].as_u64() > Some(0),
            "{width}: {found}"
        );
        assert!(found["drawn"].as_u64() >= Some(figures), "{width}: {found}");
        assert_eq!((found["images"].as_bool(), found["scripts"].as_u64()), (Some(true), Some(0)), "{found}");
    }
}

#[test]
fn the_page_opens_in_a_browser() {
    let Some(browser) = browser() else {
        #[expect(clippy::print_stderr, reason = "a test that is passed over says so")]
        {
            eprintln!("no chromium here: the page was not looked at");
        }
        return;
    };
    let folder = tempfile::tempdir().expect("temp");
    let page: PathBuf = report_demo::page().write(folder.path()).expect("written");
    check(browser, &page, 1, 5);

    // An audit's.
    let report = Report::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audit")).expect("a report");
    let verdict = verdict(&report);
    let options = Options {
        decision: decide(&verdict, report.made.complete, None),
        fail_on: None,
        sarif: None,
        junit: None,
    };
    let kept = std::env::var_os("NASTY_AUDIT_FOLDER").map(PathBuf::from);
    let into = kept.unwrap_or_else(|| folder.path().join("audit"));
    let page = write(&report, &verdict, &into, &options).expect("written").page;
    check(browser, &page, 6, 2);

    // A page of the caller's, such as of an experiment that was run.
    if let Some(page) = std::env::var_os("NASTY_REPORT_PAGE") {
        check(browser, Path::new(&page), 1, 1);
    }
}
