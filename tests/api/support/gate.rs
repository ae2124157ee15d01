//! A gate that stops the server's statements while they write players.

use tokio_postgres::Client;

use super::World;
use super::books::eventually;

/// What a statement that stops at the gate has locked.
#[derive(Clone, Copy, Debug)]
pub enum Holding {
    /// Nothing: it has its snapshot, but no row lock.
    Nothing,
    /// The first row that it writes.
    Row,
}

/// Stops updates of players while it is closed, except those of its own session, and counts them.
pub struct Gate {
    /// A session that is not stopped.
    pub session: Client,
}

impl Gate {
    /// An open gate.
    pub async fn new(world: &World, holding: Holding) -> Self {
        let level = match holding {
            Holding::Nothing => "statement",
            Holding::Row => "row",
        };
        let session = world.connect().await;
        let sql = format!(
            "create table gate (closed boolean not null);
            insert into gate values (false);
            create sequence gate_entries;
            create function pass_gate() returns trigger language plpgsql as $$
            begin
                perform nextval('gate_entries');
                while (select closed from gate) loop
                    perform pg_sleep(0.005);
                end loop;
                return new;
            end $$;
            create trigger gate before update on players
                for each {level} execute function pass_gate();
            set session_replication_role = replica;"
        );
        session.batch_execute(&sql).await.expect("a gate");
        Self { session }
    }

    /// Closes it, and counts from 0.
    pub async fn close(&self) {
        let sql = "select setval('gate_entries', 1, false); update gate set closed = true";
        self.session.batch_execute(sql).await.expect("closed");
    }

    pub async fn open(&self) {
        self.session.batch_execute("update gate set closed = false").await.expect("opened");
    }

    /// How many updates have arrived since it was closed.
    pub async fn entries(&self) -> i64 {
        let sql = "select case when is_called then last_value else 0 end from gate_entries";
        self.session.query_one(sql, &[]).await.expect("a count").get(0)
    }

    pub async fn until_entered(&self, number: i64) {
        eventually("statements come to the gate", async || {
            (self.entries().await >= number).then_some(())
        })
        .await;
    }
}
