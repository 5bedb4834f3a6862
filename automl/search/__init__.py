"""The engines that propose policies; one file each behind one Protocol."""
