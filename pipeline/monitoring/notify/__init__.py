"""What happens, told to whoever is outside: a broker, web addresses, a file."""
