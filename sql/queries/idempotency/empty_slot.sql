-- store::idempotency::empty_idle_slots: empties a slot; false where it was empty.
select empty_idempotency_slot($1) as emptied
