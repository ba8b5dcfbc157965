"""Prints the lowest version of every library that setup.cfg allows, as pip takes it."""

import configparser

settings = configparser.ConfigParser()
settings.read("setup.cfg")
required = settings["options"]["install_requires"], settings["options.extras_require"]["test"]
for line in "".join(required).split():
    print(line.replace(">=", "=="))
