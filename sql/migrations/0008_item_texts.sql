-- Names and descriptions of a catalogue's items in other languages than English: {"generators": {"hand_crank": {"ko":
-- {"name": "...", "description": "..."}}}, "upgrades": {...}}. A column of its own, because the previous release
-- refuses items with members that it does not know. Null in versions that the previous release stored.
alter table catalogues add column texts jsonb;
