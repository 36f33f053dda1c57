"""The inventory of devices, out of sysfs, udev's records and the firmware's tables."""
