//! What operators see of jobs, and do about them.
