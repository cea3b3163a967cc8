-- Where a message goes whose user was edited while it was being sent, should the attempt not succeed.

-- Null: the edit left its instant alone, or there was none. infinity: the user is not to be greeted any more.
-- Without it, a message that comes back from an attempt would go on for the day that its user had before.
alter table messages add column reschedule_to timestamptz;
