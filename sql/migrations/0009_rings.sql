-- Empties a slot of a ring of partitions (store::ring) by dropping its pages. It gives up rather than hold up those who
-- read behind a long transaction. empty_idempotency_slot stays for the previous release.
create function empty_ring_slot(ring_table text, slot_to_empty smallint) returns boolean
language plpgsql
set lock_timeout = '200ms'
as $$
declare
    is_used boolean;
begin
    execute format('select exists (select from %I)', ring_table || '_' || slot_to_empty) into is_used;
    if is_used then
        execute format('truncate %I', ring_table || '_' || slot_to_empty);
    end if;
    return is_used;
end
$$;
