"""The inventory of devices, from sysfs, udev's records and the firmware's tables."""
