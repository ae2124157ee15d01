//! The program as an operator meets it: started, stopped, killed and misconfigured.

mod configuration;
mod embedded;
mod program;
mod stopping;
