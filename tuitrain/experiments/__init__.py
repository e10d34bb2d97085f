"""Many runs of one question: compare arms over seeds, and report runs on a page.

Plans, starts and watches runs, reads what they leave, and says what may be concluded from it. Knows
run folders and the supervisor's command; nothing of workers, torch or the command line.
"""
