-- store::embedded: the server's database.
create database idlewatt
