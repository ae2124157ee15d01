//! Tells cargo which files the program embeds: it does not notice files that appear in `web/dist` by itself.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // A path that does not exist would make cargo build the program again each time.
    if std::path::Path::new("web/dist").exists() {
        println!("cargo::rerun-if-changed=web/dist");
    }
}
