print("cyclades")
