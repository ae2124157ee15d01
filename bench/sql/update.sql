\set id random(1, 5000)
update bench_rows set balance = balance + 1, touched = now() where id = :id;
