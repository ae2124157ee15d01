//! Jobs with kinds of the test.

use std::sync::Arc;
use std::time::Duration;

use idlewatt::clock::Clock;
use idlewatt::config::JobsConfig;
use idlewatt::jobs::{Jobs, Kind, Parts};
use serde_json::Value;

use super::TestApp;
use super::books::eventually;

impl TestApp {
    /// Workers for jobs of the test's kinds, in this server's process; nothing runs yet.
    pub fn jobs_of(&self, kinds: Vec<Kind>, lease: Duration) -> Arc<Jobs> {
        let parts = Parts {
            store: self.server.store.clone(),
            players: self.server.players.clone(),
            clock: Arc::clone(&self.world.clock) as Arc<dyn Clock>,
            catalogues: Arc::clone(&self.server.catalogues),
            accounts: Arc::clone(&self.server.accounts),
            rankings: Arc::clone(&self.server.rankings),
            notifications: Arc::clone(&self.server.notifications),
        };
        let config = JobsConfig { lease, concurrency: 2 };
        let (health, metrics) = (Arc::clone(&self.server.health), self.server.metrics.clone());
        Arc::new(Jobs::new(parts, kinds, config, health, metrics).expect("made"))
    }

    /// All jobs of a kind as operators see them, newest first.
    pub async fn jobs(&self, kind: &str) -> Vec<Value> {
        let page = self.client.admin("GET", "/jobs?limit=100", None).await.expect(200);
        assert!(page.json["next_cursor"].is_null(), "more jobs than the test looks at");
        let jobs = page.json["entries"].as_array().expect("a list");
        jobs.iter().filter(|job| job["kind"] == kind).cloned().collect()
    }

    /// The only job of a kind.
    pub async fn job(&self, kind: &str) -> Value {
        let mut jobs = self.jobs(kind).await;
        assert_eq!(jobs.len(), 1, "{jobs:?}");
        jobs.remove(0)
    }

    /// The only job of a kind, once it has that status.
    pub async fn job_of_status(&self, kind: &str, status: &str) -> Value {
        eventually(status, async || {
            let job = self.job(kind).await;
            (job["status"] == status).then_some(job)
        })
        .await
    }
}
