-- Instances that cannot announce what they change over Redis say so here, and the others then trust what they have read
-- for a second only.
create table silences (
    instance uuid primary key,
    noted_at timestamptz not null
);
