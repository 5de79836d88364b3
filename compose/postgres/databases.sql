-- One database and one user per service; none sees another's.
\getenv account ACCOUNT_DATABASE_PASSWORD
\getenv transfer TRANSFER_DATABASE_PASSWORD
\getenv fee FEE_DATABASE_PASSWORD
CREATE ROLE account LOGIN PASSWORD :'account';
CREATE ROLE transfer LOGIN PASSWORD :'transfer';
CREATE ROLE fee LOGIN PASSWORD :'fee';
CREATE DATABASE account OWNER account;
CREATE DATABASE transfer OWNER transfer;
CREATE DATABASE fee OWNER fee;
REVOKE CONNECT ON DATABASE account, transfer, fee FROM PUBLIC;
