from django.urls import reverse


def test_placeholder_page_of_a_request(operator, guild_a, make_ask, now):
    from jobs import submission

    job = submission.submit(make_ask(guild_a), now=now).job
    page = operator.get(reverse("admin:jobs_job_change", args=[job.pk]))
    assert page.status_code == 200
    assert "a red circle" in page.text
    assert operator.get(reverse("admin:jobs_job_changelist") + "?q=circle").status_code == 200
    assert operator.get(reverse("admin:jobs_jobimage_changelist")).status_code == 200


def test_search_finds_the_beginnings_of_words(operator, guild_a, make_ask, now):
    from jobs import submission

    submission.submit(make_ask(guild_a, prompt="a lighthouse at dusk"), now=now)
    for term, found in (
        ("light", True),
        ("LIGHT dus", True),
        ("lighthouses", False),
        ("light'); --", True),
        ("!", False),
    ):
        page = operator.get(reverse("admin:jobs_job_changelist"), {"q": term})
        assert page.status_code == 200
        assert ("a lighthouse at dusk" in page.text) is found, term
