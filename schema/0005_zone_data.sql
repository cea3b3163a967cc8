-- Which release of the zone data each node has, and which one every unsent message follows at least.

-- Null: a node of an earlier version, which does not say.
alter table nodes add column tzdata text;

-- Empty: nothing was ever planned. A node with a newer release plans again what is unsent, and notes its own here.
alter table planning add column tzdata text not null default '';

update planning set tzdata = coalesce(
    (select min(tzdata) from messages where status in ('scheduled', 'queued', 'retrying')), '');
