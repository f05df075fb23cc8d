"""Check the folder of an atlas against its records (verify), and put right what can be (repair)."""
