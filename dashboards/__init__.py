"""The controllers' screens: they read the published marts and the register, never the warehouse file."""
